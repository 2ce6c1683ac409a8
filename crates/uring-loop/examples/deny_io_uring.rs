//! Runs a program in which io_uring is refused, as it is in most containers: to see how it does
//! there.
//!
//! ```text
//! cargo run -p uring-loop --example deny_io_uring -- cargo test -p uring-loop
//! ```
//!
//! The filter is real: `io_uring_setup`, `io_uring_enter` and `io_uring_register` answer EPERM, in
//! the program and in whatever it starts (seccomp(2)).

use std::env;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut words = env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!("usage: deny_io_uring PROGRAM [ARGUMENT…]");
        return ExitCode::from(2);
    };
    let error = match deny() {
        Ok(()) => Command::new(&program).args(words).exec(),
        Err(error) => error,
    };
    eprintln!("{}: {error}", program.display());
    ExitCode::FAILURE
}

/// From now on io_uring is refused to this process and its children.
fn deny() -> io::Result<()> {
    let statement =
        |code: u32, jt: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf: 0, k };
    let is = |number: libc::c_long, then: u8| {
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, then, number as u32)
    };
    let answer = |action: u32| statement(libc::BPF_RET | libc::BPF_K, 0, action);
    let mut program = [
        // The number of the system call is the first word of seccomp_data.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        is(libc::SYS_io_uring_setup, 3),
        is(libc::SYS_io_uring_enter, 2),
        is(libc::SYS_io_uring_register, 1),
        answer(libc::SECCOMP_RET_ALLOW),
        answer(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the first call takes plain numbers; the second copies the program, which outlives it.
    let result = unsafe {
        match libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) {
            0 => libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program),
            refused => refused,
        }
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
