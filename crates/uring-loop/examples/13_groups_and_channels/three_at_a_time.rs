//! Ten downloads, each of a second, but at most three at a time: they take four seconds.
//!
//! In Python: `asyncio.Semaphore` round each of the coroutines that are gathered.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::sync::Semaphore;
use uring_loop::time::sleep;
use uring_loop::{gather, spawn_all};

use crate::course::{println, run};

struct Network {
    slots: Semaphore,
    busy: Cell<u32>,
    busiest: Cell<u32>,
}

async fn download(page: u32, network: Rc<Network>) -> u32 {
    let _permit = network.slots.acquire().await; // given back at the end
    network.busy.set(network.busy.get() + 1);
    network.busiest.set(network.busiest.get().max(network.busy.get()));
    sleep(Duration::from_secs(1)).await;
    println!("page {page}");
    network.busy.set(network.busy.get() - 1);
    page
}

async fn ten_downloads() -> io::Result<()> {
    let (busy, busiest) = (Cell::new(0), Cell::new(0));
    let network = Rc::new(Network { slots: Semaphore::new(3), busy, busiest });
    let downloads = (1..=10).map(|page| download(page, network.clone()));
    let pages = gather(spawn_all(downloads)).await?;
    println!("{} pages, never more than {} at a time", pages.len(), network.busiest.get());
    Ok(())
}

pub(crate) fn main() -> io::Result<()> {
    run(ten_downloads())?
}
