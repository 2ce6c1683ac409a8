//! The same operations on names and files come to the same on the simulated kernel and on the real
//! one.

use super::rig::*;
use super::twin::{FD, Machine, same};
use crate::driver::ring::{Sqe, opcode, sqe_flags};
use crate::testing::sim::memory;

/// An empty folder of one of the two kernels.
struct Folder {
    path: String,
    _real: Option<tempfile::TempDir>,
}

impl Folder {
    fn new(machine: &mut Machine) -> Self {
        if !machine.is_real() {
            machine.run(mkdir(1, text("/folder")));
            return Folder { path: "/folder".to_owned(), _real: None };
        }
        let folder = tempfile::tempdir().expect("a place for temporary files");
        Folder { path: folder.path().to_str().expect("text").to_owned(), _real: Some(folder) }
    }

    fn at(&self, name: &str) -> Memory {
        text(&format!("{}/{name}", self.path))
    }
}

fn text(text: &str) -> Memory {
    Memory::of(format!("{text}\0").as_bytes())
}

fn on_path(opcode: u8, user_data: u64, path: Memory) -> Sqe {
    Sqe { addr: path.address(), ..entry(opcode, user_data, libc::AT_FDCWD) }
}

fn open(user_data: u64, path: Memory, flags: i32) -> Sqe {
    let (op_flags, len) = ((flags | libc::O_CLOEXEC) as u32, 0o644);
    Sqe { op_flags, len, ..on_path(opcode::OPENAT, user_data, path) }
}

fn mkdir(user_data: u64, path: Memory) -> Sqe {
    Sqe { len: 0o755, ..on_path(opcode::MKDIRAT, user_data, path) }
}

fn unlink(user_data: u64, path: Memory, flags: i32) -> Sqe {
    Sqe { op_flags: flags as u32, ..on_path(opcode::UNLINKAT, user_data, path) }
}

fn two(opcode: u8, user_data: u64, from: Memory, to: Memory) -> Sqe {
    let len = if opcode == opcode::SYMLINKAT { 0 } else { libc::AT_FDCWD as u32 };
    Sqe { off: to.address(), len, ..on_path(opcode, user_data, from) }
}

/// What of a status does not depend on the disk: length, mode, links.
fn status(machine: &mut Machine, path: Memory, flags: i32, fd: i32) -> String {
    let room = Memory::new(size_of::<libc::statx>());
    let mask = libc::STATX_BASIC_STATS;
    let statx = Sqe {
        fd,
        len: mask,
        off: room.address(),
        op_flags: flags as u32,
        ..on_path(opcode::STATX, 1, path)
    };
    let said = machine.say(statx);
    let bytes = room.bytes();
    let field = |offset: usize, length: usize| bytes[offset..offset + length].to_vec();
    let directory = field(28, 2)[1] & 0xf0 == 0x40;
    // How long a directory is, and how many links it has, is the file system's affair.
    let length = if directory { Vec::new() } else { field(40, 8) };
    let links = if directory { Vec::new() } else { field(16, 4) };
    format!("{said} length {length:?} mode {:?} links {links:?}", field(28, 2))
}

#[test]
fn names_are_made_and_removed_the_same() {
    same(|machine| {
        let folder = Folder::new(machine);
        let at = |name: &str| folder.at(name);
        let exclusive = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
        let steps = [
            mkdir(1, at("a")),
            mkdir(2, at("a")),
            mkdir(3, at("none/b")),
            open(FD, at("a/file"), exclusive),
            open(FD + 1, at("a/file"), exclusive),
            open(FD + 2, at("a"), libc::O_RDWR),
            open(FD + 3, at("a"), libc::O_CREAT | libc::O_RDONLY),
            open(FD + 4, at("a/file/x"), libc::O_RDONLY),
            open(FD + 5, at("a/file"), libc::O_DIRECTORY),
            open(FD + 6, at("none"), libc::O_RDONLY),
            open(FD + 7, at("none/"), libc::O_CREAT | libc::O_RDWR),
            open(FD + 8, text(""), libc::O_RDONLY),
            mkdir(4, at("a/file/x")),
            mkdir(5, at("a/b/")),
            unlink(6, at("a"), 0),
            unlink(7, at("a"), libc::AT_REMOVEDIR),
            unlink(8, at("a/file"), libc::AT_REMOVEDIR),
            unlink(9, at("a/none"), 0),
            unlink(10, at("a/file"), 0x8000),
            unlink(11, at("a/file"), 0),
            unlink(12, at("a/b"), libc::AT_REMOVEDIR),
            unlink(13, at("a"), libc::AT_REMOVEDIR),
            unlink(14, at("a"), libc::AT_REMOVEDIR),
        ];
        steps.into_iter().map(|step| machine.say(step)).collect()
    });
}

#[test]
fn names_are_changed_the_same() {
    same(|machine| {
        let folder = Folder::new(machine);
        let at = |name: &str| folder.at(name);
        for name in ["a", "a/b", "c"] {
            machine.run(mkdir(1, at(name)));
        }
        machine.run(open(FD, at("file"), libc::O_CREAT | libc::O_RDWR));
        let (rename, link, soft) = (opcode::RENAMEAT, opcode::LINKAT, opcode::SYMLINKAT);
        let steps = [
            two(rename, 1, at("a"), at("a/b/d")),
            two(rename, 2, at("file"), at("a")),
            two(rename, 3, at("a"), at("file")),
            two(rename, 4, at("none"), at("x")),
            two(rename, 5, at("c"), at("a")),
            two(rename, 6, at("a"), at("c")),
            two(rename, 7, at("file"), at("file")),
            two(link, 8, at("file"), at("hard")),
            two(link, 9, at("file"), at("c")),
            two(link, 10, at("c"), at("x")),
            two(link, 11, at("none"), at("x")),
            two(rename, 12, at("hard"), at("file")),
            two(soft, 13, text("file"), at("soft")),
            two(soft, 14, text("file"), at("soft")),
            two(soft, 15, text(""), at("empty")),
            two(soft, 16, text("round"), at("round")),
            open(FD + 1, at("round"), libc::O_RDONLY),
            open(FD + 2, at("soft"), libc::O_RDONLY | libc::O_NOFOLLOW),
            open(FD + 3, at("soft"), libc::O_RDONLY),
            open(FD + 4, at("soft/"), libc::O_RDONLY),
            two(link, 17, at("soft"), at("linked")),
            unlink(18, at("soft"), 0),
            open(FD + 5, at("linked"), libc::O_RDONLY),
            Sqe { op_flags: 0xff00, ..two(rename, 19, at("file"), at("x")) },
        ];
        let mut said: Vec<String> = steps.into_iter().map(|step| machine.say(step)).collect();
        for (name, flags) in [
            ("file", 0),
            ("hard", 0),
            ("linked", 0),
            ("linked", libc::AT_SYMLINK_NOFOLLOW),
            ("c/b", 0),
            ("none", 0),
        ] {
            said.push(status(machine, at(name), flags, libc::AT_FDCWD));
        }
        said
    });
}

#[test]
fn files_are_cut_allocated_and_looked_at_the_same() {
    same(|machine| {
        let folder = Folder::new(machine);
        let fd = machine.run(open(FD, folder.at("x"), libc::O_CREAT | libc::O_RDWR)).result;
        let reader = machine.run(open(FD, folder.at("x"), libc::O_RDONLY)).result;
        let truncate = |fd, off| Sqe { off, ..entry(opcode::FTRUNCATE, 1, fd) };
        let allocate = |fd, off, addr| Sqe { off, addr, ..entry(opcode::FALLOCATE, 2, fd) };
        let mut said = Vec::new();
        for step in [
            write(3, fd, 0, Memory::of(b"0123456789")),
            truncate(fd, 4),
            truncate(fd, 1 << 63),
            truncate(reader, 0),
            truncate(-1, 0),
            Sqe { len: 1, ..truncate(fd, 0) },
            allocate(fd, 2, 30),
            allocate(fd, 0, 0),
            allocate(reader, 0, 10),
            Sqe { op_flags: 1, ..allocate(fd, 0, 10) },
            write(3, reader, 0, Memory::of(b"x")),
            write(3, fd, 40, Memory::of(b"")),
        ] {
            said.push(machine.say(step));
            said.push(status(machine, text(""), libc::AT_EMPTY_PATH, fd));
        }
        said
    });
}

#[test]
fn direct_access_asks_for_the_same() {
    same(|machine| {
        let folder = Folder::new(machine);
        let flags = libc::O_CREAT | libc::O_RDWR | libc::O_DIRECT;
        let fd = machine.run(open(FD, folder.at("x"), flags)).result;
        // A page of its own is aligned to whatever a disk may ask.
        let page = page_of_words(2048);
        let aligned = |opcode, user_data, off, len| Sqe {
            addr: page.as_ptr().expose_provenance() as u64,
            len,
            off,
            ..entry(opcode, user_data, fd)
        };
        let mut said = vec![
            machine.say(aligned(opcode::WRITE, 1, 0, 8192)),
            machine.say(aligned(opcode::READ, 2, 4096, 4096)),
            machine.say(aligned(opcode::READ, 3, 4096, 8192)),
            machine.say(aligned(opcode::READ, 4, 100, 4096)),
            machine.say(aligned(opcode::WRITE, 5, 0, 100)),
        ];
        let odd = Sqe {
            addr: page.as_ptr().expose_provenance() as u64 + 1,
            ..aligned(opcode::READ, 6, 0, 4096)
        };
        said.push(machine.say(odd));
        said
    });
}

#[test]
fn registered_files_are_told_the_same() {
    same(|machine| {
        let file = machine.file(b"hello world");
        let other = machine.file(b"other");
        let buffer = Memory::new(5);
        let fixed =
            |user_data, place| flagged(read(user_data, place, 0, buffer), sqe_flags::FIXED_FILE);
        let update = |user_data, place, fd: i32| Sqe {
            addr: Memory::of(&fd.to_ne_bytes()).address(),
            off: place,
            len: 1,
            ..entry(opcode::FILES_UPDATE, user_data, -1)
        };
        let clear = |user_data, place| Sqe { file_index: place + 1, ..close(user_data, 0) };
        let mut said = vec![machine.say(fixed(1, 0)), machine.say(update(2, 0, file))];
        machine.ring.register_file_table(4).expect("a table");
        said.push(format!(
            "{:?}",
            machine.ring.register_file_table(4).map_err(|e| e.raw_os_error())
        ));
        for step in [
            fixed(3, 1),
            update(4, 1, file),
            fixed(5, 1),
            update(6, 1, other),
            fixed(7, 1),
            update(8, 2, 999_999),
            update(9, 4, file),
            Sqe { len: 0, ..update(10, 0, file) },
            clear(11, 1),
            fixed(12, 1),
            clear(13, 1),
            clear(14, 8),
            Sqe { fd: 5, ..clear(15, 1) },
            flagged(entry(opcode::STATX, 16, 0), sqe_flags::FIXED_FILE),
            fixed(17, -1),
        ] {
            said.push(machine.say(step));
            said.push(format!("{:?}", buffer.bytes()));
        }
        said
    });
}

#[test]
fn a_place_that_changes_behind_an_operation_is_no_matter_to_it() {
    same(|machine| {
        let (one, two) = (machine.file(b"one"), machine.file(b"two"));
        let buffers = [Memory::new(3), Memory::new(3)];
        let update = |user_data, fd: i32| Sqe {
            addr: Memory::of(&fd.to_ne_bytes()).address(),
            len: 1,
            ..entry(opcode::FILES_UPDATE, user_data, -1)
        };
        let fixed =
            |user_data, buffer| flagged(read(user_data, 0, 0, buffer), sqe_flags::FIXED_FILE);
        machine.ring.register_file_table(1).expect("a table");
        let clear = Sqe { file_index: 1, ..close(3, 0) };
        let steps =
            [update(1, one), fixed(2, buffers[0]), clear, update(4, two), fixed(5, buffers[1])];
        let mut said = machine.say_all(&steps, 5);
        said.sort();
        said.push(format!("{:?}", buffers.map(Memory::bytes)));
        said
    });
}

#[test]
fn registered_buffers_are_told_the_same() {
    same(|machine| {
        let file = machine.file(b"hello world");
        let page = page_of_words(512);
        let start = page.as_ptr().expose_provenance() as u64;
        let fixed = |user_data, place, addr, len| Sqe {
            addr,
            len,
            buf_index: place,
            ..entry(opcode::READ_FIXED, user_data, file)
        };
        let mut said = vec![machine.say(fixed(1, 0, start, 5))];
        machine.ring.register_buffer_table(2).expect("a table");
        said.push(machine.say(fixed(2, 0, start, 5)));
        memory::set_leaked_buffer(&mut machine.ring, 0, page).expect("a place");
        for step in [
            fixed(3, 0, start, 5),
            fixed(4, 0, start + 4090, 5),
            fixed(5, 0, start + 4094, 5),
            fixed(6, 1, start, 5),
            fixed(7, 9, start, 5),
            Sqe { opcode: opcode::WRITE_FIXED, off: 6, ..fixed(8, 0, start, 5) },
            Sqe { opcode: opcode::WRITE_FIXED, ..fixed(9, 0, start - 1, 5) },
        ] {
            said.push(machine.say(step));
        }
        let whole = Memory::new(11);
        said.push(machine.say(read(10, file, 0, whole)));
        said.push(format!("{:?}", whole.bytes()));
        said
    });
}
