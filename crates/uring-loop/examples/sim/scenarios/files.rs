//! Workers that read, write, copy, rename and list, each in a folder of its own, against a model in
//! memory.

use std::io;
use std::io::ErrorKind::{DirectoryNotEmpty, NotFound};
use std::path::{Path, PathBuf};

use uring_loop::fs::{self, File};
use uring_loop::time::timeout;

use super::place::{Place, keep_many, persist};

/// Bytes of a file that are written to and compared; behind them as many lie where writes are
/// given up in flight.
const EXACT: usize = 4000;

/// What a write that may be given up writes.
const WILD: u8 = 0xee;

pub(super) async fn run(place: Place) {
    let workers = keep_many(place.chance.between(2, 5), |number| {
        let place = place.inside(&format!("worker {number}"));
        async move {
            place.ok(work(&place).await);
        }
    });
    place.disturb(workers).await;
    let folder = &place.folder;
    persist(&place, || fs::create_dir_all(folder)).await;
    // What was given up in flight may still be done, and make something anew.
    for _ in 0..100 {
        let left = persist(&place, || names(folder)).await;
        if left.is_empty() {
            return;
        }
        for name in left {
            persist(&place, || remove(folder.join(&name))).await;
        }
    }
    panic!("what was removed is there again and again");
}

/// A folder that was removed by an attempt which then failed is gone, too; one that is not empty
/// is for the next round.
async fn remove(folder: PathBuf) -> io::Result<()> {
    match fs::remove_dir_all(folder).await {
        Err(error) if matches!(error.kind(), NotFound | DirectoryNotEmpty) => Ok(()),
        other => other,
    }
}

async fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut entries = fs::read_dir(folder).await?;
    let mut names = Vec::new();
    while let Some(entry) = entries.next().await.transpose()? {
        names.push(entry.file_name().to_str().expect("text").to_owned());
    }
    names.sort();
    Ok(names)
}

async fn work(place: &Place) -> io::Result<()> {
    let folder = &place.folder;
    fs::create_dir_all(folder).await?;
    let path = folder.join("file");
    let file = File::options().read(true).write(true).create_new(true).open(&path).await?;
    let mut model = vec![0; EXACT];
    file.write_all_at(vec![0; 2 * EXACT], 0).await.0?;
    for _ in 0..place.chance.between(3, 15) {
        step(place, &file, &mut model).await?;
    }
    copies(folder, &path, &model).await
}

/// One thing done to a file.
async fn step(place: &Place, file: &File, model: &mut [u8]) -> io::Result<()> {
    let chance = &place.chance;
    let start = chance.below(EXACT);
    let length = chance.between(1, EXACT - start);
    let offset = start as u64;
    match chance.below(7) {
        0 | 1 => {
            let bytes = chance.bytes(length);
            model[start..start + length].copy_from_slice(&bytes);
            file.write_all_at(bytes, offset).await.0?;
        }
        2 => {
            let bytes = chance.bytes(length);
            model[start..start + length].copy_from_slice(&bytes);
            let parts: Vec<Vec<u8>> = bytes.chunks(300).map(<[u8]>::to_vec).collect();
            file.write_all_vectored_at(parts, offset).await.0?;
        }
        3 => {
            let (result, bytes) = file.read_exact_at(vec![0; length], offset).await;
            result?;
            assert!(bytes == model[start..start + length], "other bytes than were written");
        }
        4 => {
            // Given up in flight; what was begun may be done later, but only there.
            let write = file.write_all_at(vec![WILD; length], offset + EXACT as u64);
            if let Ok((result, _)) = timeout(chance.moment(), write).await {
                result?;
            }
        }
        5 => {
            let read = file.read_exact_at(vec![0; EXACT], EXACT as u64);
            if let Ok((result, bytes)) = timeout(chance.moment(), read).await {
                result?;
                assert!(bytes.iter().all(|byte| [0, WILD].contains(byte)), "bytes of nobody");
            }
        }
        _ => file.sync_data().await?,
    }
    Ok(())
}

/// The file under other names is the same file.
async fn copies(folder: &Path, path: &Path, model: &[u8]) -> io::Result<()> {
    let (copy, link, moved) = (folder.join("copy"), folder.join("link"), folder.join("moved"));
    assert_eq!(fs::copy(path, &copy).await?, 2 * EXACT as u64);
    assert!(fs::read(&copy).await?[..EXACT] == *model, "a copy differs");
    fs::hard_link(path, &link).await?;
    fs::rename(path, &moved).await?;
    assert_eq!(names(folder).await?, ["copy", "link", "moved"]);
    assert_eq!(fs::metadata(&link).await?.len(), 2 * EXACT as u64);
    assert!(!fs::exists(path).await?, "it has another name now");
    fs::remove_file(&moved).await?;
    assert!(fs::read(&link).await?[..EXACT] == *model, "the second name of a file differs");
    Ok(())
}
