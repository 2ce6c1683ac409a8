//! Files past the page cache.

use std::io::ErrorKind;

use uring_loop::buf::AlignedBuf;
use uring_loop::fs::{File, OpenOptions};
use uring_loop::gather;
use uring_loop::spawn;

use crate::fs_support::on_both;

fn direct() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).direct(true);
    options
}

#[test]
fn direct_files_are_read_and_written_with_aligned_buffers() {
    on_both(|folder| async move {
        let file = match direct().open(folder.join("x")).await {
            Ok(file) => file,
            // tmpfs of older kernels, and a few others, have no direct access.
            Err(error) if error.kind() == ErrorKind::InvalidInput => return,
            Err(error) => panic!("{error}"),
        };
        let asked = file.alignment().expect("opened for direct access");
        assert!(asked.memory.is_power_of_two() && asked.offset.is_power_of_two(), "{asked:?}");
        let block = asked.offset.max(4096);
        let mut bytes = AlignedBuf::new(block * 4);
        for n in 0..4 {
            bytes.extend_from_slice(&vec![n + 1; block]);
        }
        file.write_all_at(bytes, 0).await.0.expect("room");
        let reads = (0..4_u8).map(|n| {
            let file = file.clone();
            spawn(async move {
                let buffer = file.aligned_buffer(block);
                let (result, buffer) =
                    file.read_exact_at(buffer, block as u64 * u64::from(n)).await;
                result.expect("there");
                assert_eq!((buffer.len(), buffer[0], buffer[block - 1]), (block, n + 1, n + 1));
            })
        });
        gather(reads).await.expect("no panic");
        // Half of it is behind the end.
        let buffer = file.aligned_buffer(block * 2);
        let (result, buffer) = file.read_exact_at(buffer, block as u64 * 3).await;
        assert_eq!(result.expect_err("too short").kind(), ErrorKind::UnexpectedEof);
        assert_eq!(buffer.len(), block);
    });
}

#[test]
fn what_is_not_aligned_is_refused_with_a_word_about_what_is_asked() {
    on_both(|folder| async move {
        let Ok(file) = direct().open(folder.join("x")).await else { return };
        let offset = file.alignment().expect("direct").offset;
        let word = format!("a multiple of {offset}");
        let buffer = || file.aligned_buffer(offset);
        let (shifted, _) = file.read_at(buffer(), 1).await;
        let mut short = buffer();
        short.extend_from_slice(b"abc");
        let (cut, _) = file.write_at(short, 0).await;
        let (vectored, _) = file.read_vectored_at(vec![buffer()], 7).await;
        for result in [shifted, cut, vectored] {
            let error = result.expect_err("not aligned");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(&word), "{error}");
        }
        let mut file = file;
        let error = file.read_to_end().await.expect_err("a Vec is not aligned");
        assert!(error.to_string().contains("aligned buffers"), "{error}");
    });
}

#[test]
fn an_ordinary_file_asks_for_nothing() {
    on_both(|folder| async move {
        let file = File::create_new(folder.join("x")).await.expect("made");
        assert_eq!(file.alignment(), None);
        let mut bytes = AlignedBuf::new(100);
        bytes.extend_from_slice(b"abc");
        file.write_all_at(bytes, 5).await.0.expect("room");
        assert_eq!(file.read_exact_at([0; 3], 5).await.1, *b"abc");
    });
}
