//! Operations on files that are dropped at every point, and files that go before their operations.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use uring_loop::fs::{self, File, OpenOptions};
use uring_loop::testing::SimConfig;
use uring_loop::time::sleep;
use uring_loop::{EventLoop, yield_now};

use crate::support::{in_child, on_sim, open_descriptors, poll_once};

type Work = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// One of each operation, on its own file.
fn operations(folder: &std::path::Path, file: &File) -> Vec<Work> {
    let at = |name: &str| folder.join(name);
    let on = || file.clone();
    let (one, two, three, four, five, six, seven) = (on(), on(), on(), on(), on(), on(), on());
    vec![
        Box::pin(async move { one.read_at(vec![0; 512], 0).await.0.map(drop) }),
        Box::pin(async move { two.write_all_at(vec![3; 512], 0).await.0 }),
        Box::pin(async move { three.read_vectored_at(vec![[0; 64]; 8], 0).await.0.map(drop) }),
        Box::pin(async move { four.write_all_vectored_at(vec![[5; 64]; 8], 0).await.0 }),
        Box::pin(async move { five.sync_all().await }),
        Box::pin(async move { six.set_len(700).await }),
        Box::pin(async move { seven.metadata().await.map(drop) }),
        Box::pin({
            let path = at("opened");
            async move { File::create(path).await.map(drop) }
        }),
        Box::pin({
            let path = at("written");
            async move { fs::write(path, vec![1; 5000]).await }
        }),
        Box::pin({
            let path = at("folder/in/folder");
            async move { fs::create_dir_all(path).await }
        }),
        Box::pin({
            let (from, to) = (at("x"), at("copied"));
            async move { fs::copy(from, to).await.map(drop) }
        }),
        Box::pin({
            let path = folder.to_owned();
            async move {
                let mut entries = fs::read_dir(path).await?;
                while let Some(entry) = entries.next().await {
                    drop(entry?);
                }
                Ok(())
            }
        }),
        Box::pin({
            let file = file.clone();
            async move { file.close().await }
        }),
    ]
}

/// Begins all of them, drops each after so many polls, and with it its handle of the file.
async fn drop_all_after(polls: usize, folder: PathBuf) {
    let path = folder.join("x");
    let options = OpenOptions::new().read(true).write(true).create(true).clone();
    let file = options.open(&path).await.expect("made");
    file.write_all_at(vec![9; 1000], 0).await.0.expect("room");
    let mut works = operations(&folder, &file);
    drop(file);
    for _ in 0..polls {
        for work in &mut works {
            // What is over is not polled again.
            if let Poll::Ready(result) = poll_once(work).await {
                result.expect("nothing is wrong with the disk");
                *work = Box::pin(std::future::pending());
            }
        }
        yield_now().await;
    }
}

#[test]
fn operations_dropped_at_every_point_leak_nothing_on_a_simulated_disk() {
    for polls in 0..12 {
        for seed in 0..4 {
            on_sim(SimConfig::chaos(seed), |_| drop_all_after(polls, PathBuf::from("/")));
        }
    }
}

#[test]
fn operations_dropped_at_every_point_leave_no_descriptor_open() {
    in_child("fs_drops::operations_dropped_at_every_point_leave_no_descriptor_open", || {
        drop(EventLoop::new().expect("a ring")); // What a process keeps for good, it has now.
        let before = open_descriptors();
        let mut event_loop = EventLoop::new().expect("a ring");
        for round in 0..60 {
            let folder = tempfile::tempdir().expect("a place for temporary files");
            let work = drop_all_after(round % 12, folder.path().to_owned());
            event_loop.run_until_complete(work).expect("not cancelled");
        }
        for _ in 0..500 {
            if event_loop.statistics().in_flight == 0 && open_descriptors() <= before + 8 {
                break;
            }
            let pause = async { sleep(Duration::from_millis(10)).await };
            event_loop.run_until_complete(pause).expect("not cancelled");
        }
        assert_eq!(event_loop.statistics().in_flight, 0, "{:?}", event_loop.in_flight());
        drop(event_loop);
        // Helper threads may have a duplicate for a moment longer.
        for _ in 0..500 {
            if open_descriptors() == before {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{} descriptors more than before", open_descriptors() - before);
    });
}

#[test]
fn what_is_done_to_a_file_that_goes_is_not_done_to_the_next_of_its_number() {
    in_child(
        "fs_drops::what_is_done_to_a_file_that_goes_is_not_done_to_the_next_of_its_number",
        || {
            let folder = tempfile::tempdir().expect("a place for temporary files");
            let at = |name: &str| folder.path().join(name);
            std::fs::write(at("victim"), "0123456789").expect("room");
            let mut event_loop = EventLoop::new().expect("a ring");
            let truncate_and_go = async {
                for _ in 0..300 {
                    let file = File::create(at("short")).await.expect("made");
                    let mut cut = Box::pin(async move { file.set_len(0).await });
                    // The entry is pushed; behind it the close, and behind that the next open.
                    let _ = poll_once(&mut cut).await;
                    std::mem::drop(cut);
                    let options = OpenOptions::new().read(true).write(true).clone();
                    let victim = options.open(at("victim")).await.expect("there");
                    assert_eq!(victim.metadata().await.expect("open").len(), 10);
                }
            };
            event_loop.run_until_complete(truncate_and_go).expect("not cancelled");
            drop(event_loop);
            assert_eq!(std::fs::read(at("victim")).expect("there"), b"0123456789");
        },
    );
}

#[test]
fn reads_and_writes_in_flight_are_waited_for_when_the_loop_goes() {
    let folder = tempfile::tempdir().expect("a place for temporary files");
    let path = folder.path().join("x");
    std::fs::write(&path, vec![5; 1 << 20]).expect("room");
    let mut event_loop = EventLoop::new().expect("a ring");
    event_loop
        .run_until_complete(async {
            let options = OpenOptions::new().read(true).write(true).clone();
            let file = options.open(&path).await.expect("there");
            for n in 0..16_u64 {
                let (reader, writer) = (file.clone(), file.clone());
                let offset = n << 16;
                let mut read =
                    Box::pin(async move { reader.read_at(vec![0; 1 << 16], offset).await.0 });
                let mut write =
                    Box::pin(async move { writer.write_at(vec![6; 1 << 16], offset).await.0 });
                let _ = poll_once(&mut read).await;
                let _ = poll_once(&mut write).await;
                // Never dropped: their slots are the loop's alone.
                crate::support::forget((read, write));
            }
        })
        .expect("not cancelled");
    drop(event_loop);
    // Each block was written as a whole or not at all: nothing comes behind the loop's end.
    let bytes = std::fs::read(&path).expect("there");
    for block in bytes.chunks(1 << 16) {
        assert!(block.iter().all(|byte| *byte == block[0]), "a block is torn");
    }
    std::thread::sleep(Duration::from_millis(20));
    assert!(std::fs::read(&path).expect("there") == bytes, "something was written afterwards");
}
