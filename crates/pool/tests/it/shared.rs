//! Shared buffers: both ways, in maps, and what is left of them.

use std::collections::BTreeMap;

use pool::{JobError, SharedBuf, SharedBufMut};
use serde::{Deserialize, Serialize};

use crate::support::{death_of, eventually, open_descriptors, processes};

crate::tests![
    a_buffer_goes_there_and_another_comes_back,
    a_large_buffer_is_not_copied,
    parts_and_duplicates_travel,
    buffers_travel_inside_other_values,
    an_empty_buffer_travels,
    buffers_queue_behind_a_full_socket,
    a_map_of_buffers_works_whatever_its_chunks,
    buffers_of_items_before_a_death_are_kept,
    too_many_buffers_are_an_error,
    encoding_a_buffer_for_something_else_is_an_error,
    a_worker_keeps_no_buffer,
    alone_buffers_leave_nothing,
];

fn pattern(length: usize, seed: u8) -> SharedBuf {
    let mut buffer = SharedBufMut::new(length).unwrap();
    for (n, byte) in buffer.iter_mut().enumerate() {
        *byte = (n % 251) as u8 ^ seed;
    }
    buffer.freeze().unwrap()
}

fn inverted(buffer: SharedBuf) -> SharedBuf {
    let mut result = SharedBufMut::new(buffer.len()).unwrap();
    result.iter_mut().zip(buffer.iter()).for_each(|(to, from)| *to = !from);
    result.freeze().unwrap()
}

fn a_buffer_goes_there_and_another_comes_back() {
    let pool = processes(2);
    let buffers: Vec<_> = (0..20).map(|n| pattern(10_000 + n, n as u8)).collect();
    let jobs: Vec<_> = buffers.iter().map(|b| pool.submit(inverted, (b.clone(),))).collect();
    for (job, buffer) in jobs.into_iter().zip(&buffers) {
        let expected: Vec<u8> = buffer.iter().map(|byte| !byte).collect();
        assert_eq!(&*job.wait().unwrap(), expected);
    }
}

/// Far more than could go through the socket by value in this time, and than a message may have.
fn a_large_buffer_is_not_copied() {
    let pool = processes(1);
    let length = 3 << 30;
    let mut buffer = SharedBufMut::new(length).unwrap();
    buffer[length - 1] = 9;
    let buffer = buffer.freeze().unwrap();
    let last = |buffer: SharedBuf| (buffer.len(), buffer[buffer.len() - 1]);
    assert_eq!(pool.submit(last, (buffer.clone(),)).wait(), Ok((length, 9)));
    // The sender sees the very same pages: what it holds is what the worker looks at.
    let same = |buffer: SharedBuf| buffer;
    let back = pool.submit(same, (buffer.clone(),)).wait().unwrap();
    assert_eq!((back.len(), back[length - 1]), (length, 9));
}

fn parts_and_duplicates_travel() {
    let pool = processes(1);
    let whole = pattern(1000, 3);
    let (front, back) = (whole.slice(..400), whole.slice(400..));
    assert_eq!(&*back.slice(..=0), &whole[400..401]);
    let glue = |a: SharedBuf, b: SharedBuf, again: SharedBuf| [&*a, &*b, &*again].concat();
    let glued = pool.submit(glue, (front.clone(), back, front)).wait().unwrap();
    assert_eq!(glued, [&whole[..], &whole[..400]].concat());
}

#[derive(Serialize, Deserialize)]
enum Shape {
    Named { name: String, bytes: SharedBuf },
    Many(BTreeMap<u32, Vec<Option<SharedBuf>>>),
}

fn buffers_travel_inside_other_values() {
    let pool = processes(1);
    let measure = |shape: Shape| match shape {
        Shape::Named { name, bytes } => name.len() + bytes.len(),
        Shape::Many(map) => map.values().flatten().flatten().map(|bytes| bytes.len()).sum(),
    };
    let named = Shape::Named { name: "four".into(), bytes: pattern(100, 0) };
    assert_eq!(pool.submit(measure, (named,)).wait(), Ok(104));
    let many = [(1, vec![Some(pattern(10, 0)), None, Some(pattern(20, 0))]), (2, vec![])];
    assert_eq!(pool.submit(measure, (Shape::Many(many.into()),)).wait(), Ok(30));
}

fn an_empty_buffer_travels() {
    let pool = processes(1);
    let empty = SharedBufMut::new(0).unwrap().freeze().unwrap();
    assert_eq!(pool.submit(inverted, (empty,)).wait().unwrap().len(), 0);
}

fn buffers_queue_behind_a_full_socket() {
    let pool = processes(1);
    let sum = |bytes: Vec<u8>, buffer: SharedBuf| bytes.len() + buffer.len();
    let jobs: Vec<_> =
        (1..40usize).map(|n| pool.submit(sum, (vec![1; 300_000], pattern(n, 0)))).collect();
    for (n, job) in jobs.into_iter().enumerate() {
        assert_eq!(job.wait(), Ok(300_001 + n));
    }
}

fn a_map_of_buffers_works_whatever_its_chunks() {
    let pool = processes(2);
    let buffers = || (0..600usize).map(|n| pattern(n, n as u8));
    for results in [
        pool.map(inverted, buffers()).collect::<Vec<_>>(),
        pool.map(inverted, buffers()).chunk(100).collect(),
    ] {
        for (result, buffer) in results.into_iter().zip(buffers()) {
            let expected: Vec<u8> = buffer.iter().map(|byte| !byte).collect();
            assert_eq!(&*result.unwrap(), expected);
        }
    }
}

fn buffers_of_items_before_a_death_are_kept() {
    let pool = processes(1);
    let make = |n: usize| {
        if n == 7 {
            std::process::abort();
        }
        let mut buffer = SharedBufMut::new(n).unwrap();
        buffer.fill(n as u8);
        buffer.freeze().unwrap()
    };
    for (n, result) in pool.map(make, 0..15).chunk(15).enumerate() {
        match n {
            7 => drop(death_of(result)),
            n => assert_eq!(&*result.unwrap(), vec![n as u8; n]),
        }
    }
}

fn too_many_buffers_are_an_error() {
    let pool = processes(1);
    let count = |buffers: Vec<SharedBuf>| buffers.len();
    let one = pattern(10, 0);
    // Not of clones: those are the same buffer.
    assert_eq!(pool.submit(count, (vec![one; 1000],)).wait(), Ok(1000));
    let many: Vec<_> = (0..251).map(|_| pattern(1, 0)).collect();
    let error = pool.submit(count, (many[1..].to_vec(),)).wait();
    assert_eq!(error, Ok(250));
    let error = pool.submit(count, (many,)).wait().unwrap_err();
    assert!(matches!(error, JobError::Encode(_)), "{error:?}");
    assert_eq!(pool.submit(count, (vec![],)).wait(), Ok(0));
}

fn encoding_a_buffer_for_something_else_is_an_error() {
    assert!(postcard::to_stdvec(&pattern(10, 0)).is_err());
    assert!(postcard::from_bytes::<SharedBuf>(&[1, 2, 3]).is_err());
    let pool = processes(1);
    // Nor does it work for what a job encodes by itself.
    let encode = |buffer: SharedBuf| postcard::to_stdvec(&buffer).unwrap();
    let forged = pool.submit(encode, (pattern(10, 0),)).wait();
    if let Ok(bytes) = forged {
        assert!(postcard::from_bytes::<SharedBuf>(&bytes).is_err());
    }
}

fn a_worker_keeps_no_buffer() {
    let pool = processes(1);
    for n in 0..50 {
        assert_eq!(pool.submit(inverted, (pattern(n, 0),)).wait().unwrap().len(), n);
    }
    let buffers = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let fds = std::fs::read_dir("/proc/self/fd").unwrap().count();
        (maps.lines().filter(|line| line.contains("pool-buffer")).count(), fds < 20)
    };
    assert_eq!(pool.submit(buffers, ()).wait(), Ok((0, true)));
}

fn alone_buffers_leave_nothing() {
    let before = open_descriptors();
    let pool = processes(2);
    for round in 0..20 {
        let die = |buffer: SharedBuf, die: bool| {
            if die { std::process::abort() } else { buffer }
        };
        let jobs: Vec<_> =
            (0..20).map(|n| pool.submit(die, (pattern(5000, 0), n == round))).collect();
        let some: Vec<_> = jobs.into_iter().skip(round % 3).map(|job| job.wait()).collect();
        let errors: Vec<_> = some.iter().filter_map(|result| result.as_ref().err()).collect();
        assert!(errors.len() <= 1, "{errors:?}");
        // Results that nobody takes.
        drop(pool.submit(inverted, (pattern(5000, 0),)));
        // Cancelled on the way.
        pool.submit(inverted, (pattern(5000, 0),)).cancel();
    }
    drop(pool);
    eventually("all are closed", || open_descriptors() == before);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert_eq!(maps.lines().filter(|line| line.contains("pool-buffer")).count(), 0);
}
