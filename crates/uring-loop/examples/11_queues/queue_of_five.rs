//! A queue for five items: who puts the sixth waits until one is taken.
//!
//! In Python: *Concepts of asynchronous I/O*, `maxsize`.

use std::io;
use std::time::Duration;

use uring_loop::queue::Queue;
use uring_loop::spawn;
use uring_loop::time::sleep;

use crate::course::{println, run};

pub(crate) fn main() -> io::Result<()> {
    run(async {
        let queue = Queue::bounded(5);
        for item in 1..=5 {
            queue.put(item).await?;
            println!("put {item}");
        }
        println!("{:?}", queue.put_nowait(6));
        let sixth = spawn({
            let queue = queue.clone();
            async move {
                let put = queue.put(6).await;
                println!("put 6");
                put
            }
        });
        sleep(Duration::from_secs(1)).await;
        println!("is it there? {}", sixth.is_done());
        println!("got {}", queue.get().await?);
        Ok(sixth.await??)
    })?
}
