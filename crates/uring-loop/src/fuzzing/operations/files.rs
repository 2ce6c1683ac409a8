//! What a program does with files. Every byte that is ever written follows from its place, so that
//! what is given up, and may yet be written, is right too.

use std::cell::RefCell;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::Pin;
use std::rc::Rc;

use super::super::bytes::Bytes;
use super::Errors;
use crate::buf::FixedBuffers;
use crate::fs::{File, OpenOptions};
use crate::testing::SimHandle;

/// The file of the program.
const PATH: &str = "/data";
/// So many bytes are in it from the start.
const LENGTH: usize = 3000;
/// Buffers that are registered.
pub(super) const FIXED: usize = 2;

fn byte(place: usize) -> u8 {
    (place as u8).wrapping_mul(7) ^ (place >> 8) as u8 | 0x80
}

fn bytes(place: usize, length: usize) -> Vec<u8> {
    (place..place + length).map(byte).collect()
}

/// These bytes of the file may be: behind its first length nobody knows what was written.
#[track_caller]
fn check(place: usize, found: &[u8]) {
    for (place, found) in (place..).zip(found) {
        let hole = place >= LENGTH && *found == 0;
        assert!(hole || *found == byte(place), "{found:#x} at {place} of the file");
    }
}

pub(super) struct Files {
    file: File,
    /// Opened by the program, and open still.
    open: Rc<RefCell<Vec<File>>>,
    pub(super) buffers: Option<FixedBuffers>,
    errors: Errors,
}

impl Files {
    pub(super) async fn new(sim: &SimHandle, errors: &Errors) -> Self {
        sim.create_named_file(PATH, bytes(0, LENGTH));
        let file = OpenOptions::new().read(true).write(true).open(PATH).await.expect("there");
        Files { file, open: Rc::default(), buffers: None, errors: errors.clone() }
    }

    fn buffers(&mut self) -> &FixedBuffers {
        self.buffers.get_or_insert_with(|| FixedBuffers::new(FIXED as u16, 4096).expect("memory"))
    }

    pub(super) fn begin(&mut self, input: &mut Bytes<'_>) -> Pin<Box<dyn Future<Output = ()>>> {
        let (place, length) = (input.size() % 5000, 1 + input.size() % 3000);
        let (file, errors) = (self.file.clone(), self.errors.clone());
        match input.below(8) {
            0 => Box::pin(read(file, errors, place, length)),
            1 => Box::pin(read_exact(file, errors, place, length)),
            2 => Box::pin(write(file, errors, place, length)),
            3 => Box::pin(pieces(file, errors, place, length, input.flag())),
            4 => self.on_registered(place, length, input.flag()),
            5 => Box::pin(sync(file, errors, input.flag())),
            6 => {
                let kept = input.flag().then(|| self.open.clone());
                Box::pin(open(errors, kept))
            }
            _ => {
                let register = async move {
                    let mut file = file;
                    match file.register().await {
                        Ok(()) => read(file, errors, place, length).await,
                        Err(error) => errors.check(&error),
                    }
                };
                Box::pin(register)
            }
        }
    }

    fn on_registered(
        &mut self,
        place: usize,
        length: usize,
        writes: bool,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        let (file, errors) = (self.file.clone(), self.errors.clone());
        let Some(mut buffer) = self.buffers().take() else {
            return Box::pin(std::future::ready(()));
        };
        Box::pin(async move {
            if writes {
                buffer.extend_from_slice(&bytes(place, length));
                let (result, buffer) = file.write_all_at(buffer, place as u64).await;
                assert!(*buffer == bytes(place, length), "the buffer came back changed");
                return result.unwrap_or_else(|error| errors.check(&error));
            }
            let (result, buffer) = file.read_at(buffer, place as u64).await;
            match result {
                Ok(count) => {
                    assert_eq!(buffer.len(), count);
                    check(place, &buffer);
                }
                Err(error) => errors.check(&error),
            }
        })
    }

    /// A file that the program has opened is closed.
    pub(super) fn close(&mut self, input: &mut Bytes<'_>) {
        let mut open = self.open.borrow_mut();
        if !open.is_empty() {
            let number = input.below(open.len().min(256));
            drop(open.swap_remove(number));
        }
    }

    pub(super) fn check(&self, sim: &SimHandle) {
        let all = sim.named_file_bytes(PATH).expect("there");
        assert!(all.len() >= LENGTH, "the file has become shorter");
        check(0, &all);
    }
}

async fn read(file: File, errors: Errors, place: usize, length: usize) {
    let (result, buffer) = file.read_at(vec![0; length], place as u64).await;
    match result {
        Ok(count) => {
            assert!(count <= length && (count > 0 || place >= LENGTH), "the end at {place}");
            check(place, &buffer[..count]);
        }
        Err(error) => errors.check(&error),
    }
}

async fn read_exact(file: File, errors: Errors, place: usize, length: usize) {
    let (result, buffer) = file.read_exact_at(vec![0; length], place as u64).await;
    match result {
        Ok(()) => check(place, &buffer),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            assert!(place + length > LENGTH, "the file ends behind that");
        }
        Err(error) => errors.check(&error),
    }
}

async fn write(file: File, errors: Errors, place: usize, length: usize) {
    let (result, buffer) = file.write_all_at(bytes(place, length), place as u64).await;
    assert!(buffer == bytes(place, length), "the buffer came back changed");
    result.unwrap_or_else(|error| errors.check(&error));
}

async fn pieces(file: File, errors: Errors, place: usize, length: usize, writes: bool) {
    let whole = bytes(place, length);
    let pieces: Vec<Vec<u8>> = whole.chunks(100).map(<[u8]>::to_vec).collect();
    if writes {
        let (result, back) = file.write_all_vectored_at(pieces, place as u64).await;
        assert!(back.concat() == whole, "the buffers came back changed");
        return result.unwrap_or_else(|error| errors.check(&error));
    }
    let (result, back) = file.read_vectored_at(pieces, place as u64).await;
    match result {
        Ok(count) => {
            assert!(count <= length && (count > 0 || place >= LENGTH), "the end at {place}");
            check(place, &back.concat()[..count]);
        }
        Err(error) => errors.check(&error),
    }
}

async fn sync(file: File, errors: Errors, all: bool) {
    let synced = if all { file.sync_all().await } else { file.sync_data().await };
    synced.unwrap_or_else(|error| errors.check(&error));
}

async fn open(errors: Errors, kept: Option<Rc<RefCell<Vec<File>>>>) {
    match (File::open(PATH).await, kept) {
        (Ok(file), Some(kept)) => kept.borrow_mut().push(file),
        (Ok(file), None) => file.close().await.unwrap_or_else(|error| errors.check(&error)),
        (Err(error), _) => errors.check(&error),
    }
}
