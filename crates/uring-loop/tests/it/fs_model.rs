//! Random programs on a file, beside a vector of bytes.

use std::io::SeekFrom;
use std::path::PathBuf;

use proptest::prelude::*;
use uring_loop::fs::{self, File, OpenOptions};
use uring_loop::testing::SimConfig;

use crate::fs_support::on_kernel;
use crate::support::on_sim;

#[derive(Clone, Debug)]
enum Step {
    ReadAt { offset: u64, room: usize },
    ReadExact { offset: u64, room: usize },
    WriteAt { offset: u64, length: usize },
    WriteVectored { offset: u64, lengths: Vec<usize> },
    Truncate(u64),
    Append(usize),
    Read(usize),
    Write(usize),
    Seek(SeekFrom),
    Allocate { offset: u64, length: u64 },
    Whole,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let offset = 0..3000_u64;
    let size = 1..2000_usize;
    let seek = prop_oneof![
        offset.clone().prop_map(SeekFrom::Start),
        (-500..500_i64).prop_map(SeekFrom::Current),
        (-3000..500_i64).prop_map(SeekFrom::End),
    ];
    let step = prop_oneof![
        (offset.clone(), size.clone()).prop_map(|(offset, room)| Step::ReadAt { offset, room }),
        (offset.clone(), size.clone()).prop_map(|(offset, room)| Step::ReadExact { offset, room }),
        (offset.clone(), size.clone())
            .prop_map(|(offset, length)| Step::WriteAt { offset, length }),
        (offset.clone(), prop::collection::vec(0..300_usize, 1..8))
            .prop_map(|(offset, lengths)| Step::WriteVectored { offset, lengths }),
        offset.clone().prop_map(Step::Truncate),
        size.clone().prop_map(Step::Append),
        size.clone().prop_map(Step::Read),
        size.clone().prop_map(Step::Write),
        seek.prop_map(Step::Seek),
        (offset, 1..500_u64).prop_map(|(offset, length)| Step::Allocate { offset, length }),
        Just(Step::Whole),
        Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

/// The file as it should be.
#[derive(Default)]
struct Model {
    bytes: Vec<u8>,
    cursor: u64,
    next: u8,
}

impl Model {
    fn fresh(&mut self, length: usize) -> Vec<u8> {
        self.next = self.next.wrapping_add(1);
        (0..length).map(|at| self.next.wrapping_mul(31).wrapping_add(at as u8)).collect()
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) {
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        if self.bytes.len() < end && !bytes.is_empty() {
            self.bytes.resize(end, 0);
        }
        if !bytes.is_empty() {
            self.bytes[start..end].copy_from_slice(bytes);
        }
    }

    fn from(&self, offset: u64) -> &[u8] {
        &self.bytes[self.bytes.len().min(offset as usize)..]
    }

    fn seek(&mut self, to: SeekFrom) -> Option<u64> {
        let place = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.cursor.checked_add_signed(by),
            SeekFrom::End(by) => (self.bytes.len() as u64).checked_add_signed(by),
        };
        self.cursor = place?;
        place
    }
}

fn open(append: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(!append).append(append).create(true);
    options
}

async fn follow(steps: Vec<Step>, path: PathBuf) {
    let mut model = Model::default();
    let mut file = open(false).open(&path).await.expect("made");
    for step in steps {
        take(step.clone(), &mut file, &mut model, &path).await;
        assert_eq!(file.position(), model.cursor, "after {step:?}");
    }
    assert!(fs::read(&path).await.expect("there") == model.bytes);
}

async fn take(step: Step, file: &mut File, model: &mut Model, path: &PathBuf) {
    match step {
        Step::ReadAt { offset, room } => {
            let (read, bytes) = file.read_at(vec![0; room], offset).await;
            let (read, there) = (read.expect("a disk"), model.from(offset));
            assert!(read <= room && (read > 0 || there.is_empty()), "{read}");
            assert!(bytes[..read] == there[..read]);
        }
        Step::ReadExact { offset, room } => {
            let (result, bytes) = file.read_exact_at(vec![0; room], offset).await;
            let there = model.from(offset);
            assert_eq!(result.is_ok(), there.len() >= room);
            let got = if result.is_ok() { room } else { there.len() };
            assert!(bytes[..got] == there[..got]);
        }
        Step::WriteAt { offset, length } => {
            let bytes = model.fresh(length);
            file.write_all_at(bytes.clone(), offset).await.0.expect("room");
            model.put(offset, &bytes);
        }
        Step::WriteVectored { offset, lengths } => {
            let parts: Vec<Vec<u8>> = lengths.iter().map(|length| model.fresh(*length)).collect();
            file.write_all_vectored_at(parts.clone(), offset).await.0.expect("room");
            model.put(offset, &parts.concat());
        }
        Step::Truncate(length) => {
            file.set_len(length).await.expect("ours");
            model.bytes.resize(length as usize, 0);
        }
        Step::Append(length) => {
            let bytes = model.fresh(length);
            let log = open(true).open(path).await.expect("there");
            log.write_all_at(bytes.clone(), 0).await.0.expect("room");
            model.bytes.extend(bytes);
        }
        Step::Read(room) => {
            let (read, bytes) = file.read(vec![0; room]).await;
            let (read, there) = (read.expect("a disk"), model.from(model.cursor));
            assert!(read <= room && bytes[..read] == there[..read]);
            model.cursor += read as u64;
        }
        Step::Write(length) => {
            let bytes = model.fresh(length);
            file.write_all(bytes.clone()).await.0.expect("room");
            model.put(model.cursor, &bytes);
            model.cursor += length as u64;
        }
        Step::Seek(to) => {
            let expected = model.seek(to);
            assert_eq!(file.seek(to).await.ok(), expected);
        }
        Step::Allocate { offset, length } => {
            file.allocate(offset, length).await.expect("room");
            let end = (offset + length) as usize;
            model.bytes.resize(model.bytes.len().max(end), 0);
        }
        Step::Whole => {
            let place = file.position();
            let rest = file.read_to_end().await.expect("a disk");
            assert!(rest == model.from(place));
            model.cursor += rest.len() as u64;
        }
        Step::Reopen => {
            *file = open(false).open(path).await.expect("there");
            model.cursor = 0;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_simulated_file_is_a_vector_of_bytes(steps in steps(), seed in 0..1000_u64) {
        on_sim(SimConfig::chaos(seed), |_| follow(steps, PathBuf::from("/x")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_file_of_the_kernel_is_a_vector_of_bytes(steps in steps()) {
        on_kernel(|folder| follow(steps.clone(), folder.join("x")));
    }
}
