//! Compresses all files of a folder into another, each as NAME.gz: blocks of a mebibyte, on all
//! cores, in worker processes. What goes there and what comes back lies in shared buffers, so no
//! byte is copied between processes; the files may be larger than the memory.
//!
//! ```text
//! cargo run --release -p pool --example gzip_folder -- crates/pool/src /tmp/compressed
//! ```
//!
//! A file compressed in several blocks is several gzip members in a row, which is again a gzip file
//! (RFC 1952, 2.2).

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::iter::{Enumerate, FusedIterator};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use flate2::Compression;
use flate2::write::GzEncoder;
use pool::{ProcessPool, SharedBuf, SharedBufMut};
use serde::{Deserialize, Serialize};

const BLOCK: usize = 1 << 20;

/// A part of a file, plain or compressed.
#[derive(Serialize, Deserialize)]
struct Block {
    /// Which file.
    file: usize,
    bytes: SharedBuf,
}

/// What the workers do.
fn compress(block: Block) -> Result<Block, String> {
    let plain = block.bytes.len();
    // What cannot be compressed grows a little. Memory is taken only as it is written to.
    let mut room = SharedBufMut::new(plain + plain / 8 + 1024).map_err(|e| e.to_string())?;
    let mut encoder = GzEncoder::new(&mut room[..], Compression::default());
    encoder.write_all(&block.bytes).map_err(|e| e.to_string())?;
    let left = encoder.finish().map_err(|e| e.to_string())?.len();
    let written = room.len() - left;
    let bytes = room.freeze().map_err(|e| e.to_string())?.slice(..written);
    Ok(Block { bytes, ..block })
}

/// The blocks of all files, one file after the other. They are read as the workers need them.
struct Blocks<'a> {
    files: Enumerate<std::slice::Iter<'a, PathBuf>>,
    open: Option<Open<'a>>,
    /// Why there are no more.
    failure: &'a Cell<Option<io::Error>>,
}

/// The file that is read.
struct Open<'a> {
    number: usize,
    path: &'a Path,
    file: File,
    /// Nothing of it has been read yet.
    fresh: bool,
}

impl Blocks<'_> {
    fn read_next(&mut self) -> io::Result<Option<Block>> {
        loop {
            if let Some(Open { number, path, file, fresh }) = &mut self.open {
                let bytes = read_block(file).map_err(|error| naming(path, &error))?;
                // Of an empty file there is one block, too.
                if std::mem::take(fresh) || !bytes.is_empty() {
                    return Ok(Some(Block { file: *number, bytes }));
                }
            }
            let Some((number, path)) = self.files.next() else { return Ok(None) };
            let file = File::open(path).map_err(|error| naming(path, &error))?;
            self.open = Some(Open { number, path, file, fresh: true });
        }
    }
}

/// Straight into shared memory.
fn read_block(file: &mut File) -> io::Result<SharedBuf> {
    let mut room = SharedBufMut::new(BLOCK)?;
    let mut filled = 0;
    loop {
        match file.read(&mut room[filled..])? {
            0 => return Ok(room.freeze()?.slice(..filled)),
            count => filled += count,
        }
    }
}

impl Iterator for Blocks<'_> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        self.read_next().unwrap_or_else(|error| {
            self.failure.set(Some(error));
            self.open = None;
            self.files = [].iter().enumerate();
            None
        })
    }
}

impl FusedIterator for Blocks<'_> {}

fn naming(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn files_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries: io::Result<Vec<_>> = fs::read_dir(folder)?.collect();
    let mut files: Vec<PathBuf> = entries?.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    Ok(files)
}

/// The file in `folder` that is to hold `path` compressed.
fn create(folder: &Path, path: &Path) -> io::Result<File> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".gz");
    let path = folder.join(name);
    File::create(&path).map_err(|error| naming(&path, &error))
}

fn run(from: &Path, to: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let files = files_of(from).map_err(|error| naming(from, &error))?;
    fs::create_dir_all(to).map_err(|error| naming(to, &error))?;
    let failure = Cell::new(None);
    let blocks = Blocks { files: files.iter().enumerate(), open: None, failure: &failure };
    let pool = ProcessPool::new()?;
    let mut out: Option<(usize, File)> = None;
    // In order, one by one: a block is work enough.
    for block in pool.map(compress, blocks).chunk(1) {
        let block = block??;
        let file = match &mut out {
            Some((number, file)) if *number == block.file => file,
            _ => {
                println!("{}", files[block.file].display());
                &mut out.insert((block.file, create(to, &files[block.file])?)).1
            }
        };
        file.write_all(&block.bytes)?;
    }
    match failure.take() {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

fn main() -> ExitCode {
    // First of all: the workers of a process pool are this program, and turn aside here.
    pool::init();
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [from, to] = &folders[..] else {
        eprintln!("usage: gzip_folder FOLDER OUTPUT-FOLDER");
        return ExitCode::FAILURE;
    };
    match run(from, to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gzip_folder: {error}");
            ExitCode::FAILURE
        }
    }
}
