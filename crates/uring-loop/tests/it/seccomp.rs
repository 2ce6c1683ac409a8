//! System calls that fail as a test wants it (seccomp(2)). That cannot be taken back, so each such
//! test has a process of its own (`in_child`).

use libc::{BPF_ABS, BPF_JEQ, BPF_JGT, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W};

/// Which calls: by the lower half of one of their arguments, counted from 0.
pub(crate) enum Those {
    All,
    /// It is this.
    With(u32, u32),
    /// It is more than this.
    Above(u32, u32),
    /// It has none of these bits.
    Without(u32, u32),
}

/// Lets such calls of this thread, and of threads and processes that it starts, fail with `errno`
/// from now on.
pub(crate) fn refuse(call: libc::c_long, those: &Those, errno: i32) {
    let (argument, compare, k, refused) = match *those {
        Those::All => (0, BPF_JGT, 0, None),
        Those::With(argument, value) => (argument, BPF_JEQ, value, Some(true)),
        Those::Above(argument, value) => (argument, BPF_JGT, value, Some(true)),
        Those::Without(argument, bits) => (argument, BPF_JSET, bits, Some(false)),
    };
    // Where a jump goes on: so many statements further down.
    let to_the_answer =
        |yes: bool| if refused.is_none_or(|refused| refused == yes) { 0 } else { 1 };
    install(&mut [
        load(0),
        jump(BPF_JEQ, call as u32, 0, 3),
        load(16 + 8 * argument),
        jump(compare, k, to_the_answer(true), to_the_answer(false)),
        answer(libc::SECCOMP_RET_ERRNO | errno as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ]);
}

/// Lets this process have no further thread and no child: EAGAIN, as at the limit of processes
/// (clone(2), fork(2)).
pub(crate) fn forbid_threads() {
    for call in [libc::SYS_clone, libc::SYS_clone3, libc::SYS_vfork] {
        refuse(call, &Those::All, libc::EAGAIN);
    }
}

/// The word of `struct seccomp_data` at an offset: the number of the call, or the lower half of an
/// argument.
fn load(offset: u32) -> libc::sock_filter {
    statement(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0)
}

fn jump(compare: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    statement(BPF_JMP | compare | BPF_K, k, jt, jf)
}

fn answer(action: u32) -> libc::sock_filter {
    statement(BPF_RET | BPF_K, action, 0, 0)
}

fn statement(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

fn install(program: &mut [libc::sock_filter]) {
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: PR_SET_NO_NEW_PRIVS takes plain numbers; the program outlives the second call, which
    // copies it.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let filter = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, filter, &raw const program), 0);
    }
}
