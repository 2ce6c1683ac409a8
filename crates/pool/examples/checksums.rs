//! Checksums (CRC-32, as of gzip) of all files of a folder, each computed by a worker process. The
//! files' bytes go there in shared buffers, without being copied between processes.
//!
//! ```text
//! cargo run --release -p pool --example checksums -- crates/pool/src
//! ```

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pool::{ProcessPool, SharedBuf, SharedBufMut};

/// Bit by bit: a worker has something to do.
fn crc32(bytes: SharedBuf) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1))
        })
    };
    !bytes.iter().fold(!0, step)
}

/// Reads a file straight into shared memory.
fn load(path: &Path) -> io::Result<SharedBuf> {
    let mut file = File::open(path)?;
    let mut buffer = SharedBufMut::new(file.metadata()?.len() as usize)?;
    file.read_exact(&mut buffer)?;
    buffer.freeze()
}

fn files_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries: io::Result<Vec<_>> = fs::read_dir(folder)?.collect();
    let mut files: Vec<PathBuf> = entries?.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    Ok(files)
}

fn run(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let pool = ProcessPool::new()?;
    let files = files_of(folder)?;
    // Read as the workers need them: a bounded window ahead, so the folder need not fit into
    // memory.
    let buffers = files.iter().map(|path| {
        load(path).unwrap_or_else(|error| {
            eprintln!("checksums: {}: {error}", path.display());
            SharedBuf::copy_of(&[]).expect("an empty buffer")
        })
    });
    for (file, sum) in files.iter().zip(pool.map(crc32, buffers).chunk(1)) {
        println!("{:08x}  {}", sum?, file.display());
    }
    Ok(())
}

fn main() -> ExitCode {
    // First of all: the workers of a process pool are this program, and turn aside here.
    pool::init();
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    match run(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("checksums: {error}");
            ExitCode::FAILURE
        }
    }
}
