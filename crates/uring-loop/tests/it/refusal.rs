//! A ring refused by the kernel: the error names cause and fix. Filters and limits concern a whole
//! process, so each test has one of its own.

use std::io;

use uring_loop::testing::SimConfig;
use uring_loop::{Builder, EventLoop, Refused, RingChoice, RingKind, Statistics};

use crate::seccomp::{Those, refuse};
use crate::support::{in_child, logged};

/// Who insists on the kernel's ring is told why there is none.
fn refused() -> (io::ErrorKind, Refused, String) {
    let insisting = EventLoop::builder().ring(RingChoice::Kernel);
    let error = insisting.build().expect_err("it is forbidden");
    let text = error.to_string();
    let refused = error.get_ref().and_then(|inner| inner.downcast_ref::<Refused>());
    (error.kind(), refused.expect("a Refused is inside").clone(), text)
}

/// Makes io_uring_setup(2) answer `errno` in this process from now on.
fn forbid_io_uring(errno: i32) {
    refuse(libc::SYS_io_uring_setup, &Those::All, errno);
}

#[test]
fn a_seccomp_filter_with_eperm_is_named() {
    in_child("refusal::a_seccomp_filter_with_eperm_is_named", || {
        forbid_io_uring(libc::EPERM);
        let (kind, refused, text) = refused();
        assert_eq!(kind, io::ErrorKind::PermissionDenied);
        assert_eq!(refused.errno, libc::EPERM);
        assert!(refused.cause.contains("seccomp"), "{text}");
        assert!(refused.fix.contains("seccomp=profile.json"), "{text}");
        assert!(text.starts_with("io_uring_setup refused (Operation not permitted"), "{text}");
        assert!(text.contains("To fix it: allow io_uring_setup"), "{text}");
    });
}

#[test]
fn a_loop_does_without_io_uring_where_that_is_forbidden_and_says_so_once() {
    let name = "refusal::a_loop_does_without_io_uring_where_that_is_forbidden_and_says_so_once";
    in_child(name, || {
        // SAFETY: this process runs one test; nobody else reads the environment now.
        unsafe { std::env::remove_var("URING_LOOP_RING") };
        for errno in [libc::EPERM, libc::ENOSYS] {
            forbid_io_uring(errno);
            let ((), log) = logged(|| {
                for _ in 0..2 {
                    let used = uring_loop::run(async { Statistics::current().ring });
                    assert_eq!(used.expect("a loop all the same"), RingKind::Soft);
                }
            });
            if errno == libc::EPERM {
                assert_eq!(log.matches("io_uring_setup refused").count(), 1, "{log}");
                for part in ["seccomp", "seccomp=profile.json", "URING_LOOP_RING=kernel"] {
                    assert!(log.contains(part), "without {part}: {log}");
                }
            } else {
                assert_eq!(log, "", "it was said before");
            }
        }
        let soft = EventLoop::new().expect("a loop all the same");
        assert!(format!("{soft:?}").contains("ring: Soft"), "{soft:?}");
        // SAFETY: as above.
        unsafe { std::env::set_var("URING_LOOP_RING", "kernel") };
        assert!(EventLoop::new().is_err(), "that is insisting");
    });
}

#[test]
fn queues_that_memory_is_too_short_for_become_shorter() {
    in_child("refusal::queues_that_memory_is_too_short_for_become_shorter", || {
        refuse(libc::SYS_io_uring_setup, &Those::Above(0, 100), libc::ENOMEM);
        let ring = RingChoice::Kernel;
        let event_loop = EventLoop::builder().ring(ring).submissions(1024).build().expect("less");
        assert!(format!("{event_loop:?}").contains("submissions: 64,"), "{event_loop:?}");
        let refused = EventLoop::builder().ring(ring).submissions(127).build();
        assert_eq!(refused.expect_err("short enough").kind(), io::ErrorKind::OutOfMemory);
    });
}

#[test]
fn a_kernel_without_io_uring_is_named() {
    in_child("refusal::a_kernel_without_io_uring_is_named", || {
        forbid_io_uring(libc::ENOSYS);
        let (kind, refused, text) = refused();
        assert_eq!(kind, io::ErrorKind::Unsupported);
        assert!(refused.cause.contains("has no io_uring, or a sandbox hides it"), "{text}");
        assert!(refused.fix.contains("6.1") && refused.fix.contains("gVisor"), "{text}");
    });
}

#[test]
fn a_process_without_descriptors_is_told_so() {
    in_child("refusal::a_process_without_descriptors_is_told_so", || {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("known");
        setrlimit(Resource::RLIMIT_NOFILE, 3, hard).expect("lower than before");
        let (_, refused, text) = refused();
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("as before");
        assert_eq!(refused.errno, libc::EMFILE);
        assert!(refused.fix.contains("ulimit -n"), "{text}");
    });
}

/// Since 5.12 the kernel charges rings to the memory cgroup and not to RLIMIT_MEMLOCK, so ENOMEM
/// comes from the simulated kernel.
#[test]
fn memory_that_may_not_be_locked_is_named() {
    in_child("refusal::memory_that_may_not_be_locked_is_named", || {
        use nix::sys::resource::{Resource, setrlimit};
        setrlimit(Resource::RLIMIT_MEMLOCK, 65536, 65536).expect("lower than before");
        let config = SimConfig { refuse: Some(libc::ENOMEM), ..SimConfig::default() };
        let error = EventLoop::builder().build_simulated(config).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        let text = error.to_string();
        assert!(text.contains("RLIMIT_MEMLOCK is 64 KiB"), "{text}");
        assert!(text.contains("ulimit -l") && text.contains("CAP_IPC_LOCK"), "{text}");
    });
}

#[test]
fn the_ring_can_be_insisted_on_and_nonsense_is_refused() {
    in_child("refusal::the_ring_can_be_insisted_on_and_nonsense_is_refused", || {
        let words = ["kernel", "auto", "", "soft", "epoll"];
        for (word, accepted) in words.map(|word| (word, word != "epoll")) {
            // SAFETY: this process runs one test; nobody else reads the environment now.
            unsafe { std::env::set_var("URING_LOOP_RING", word) };
            let built = EventLoop::new();
            assert_eq!(built.is_ok(), accepted, "{word}");
            if let Err(error) = built {
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
                let text = error.to_string();
                assert_eq!(text, "URING_LOOP_RING=epoll: it can be `auto`, `kernel` or `soft`");
            }
        }
        for (word, ring) in [("kernel", RingChoice::Soft), ("soft", RingChoice::Kernel)] {
            // SAFETY: as above.
            unsafe { std::env::set_var("URING_LOOP_RING", word) };
            let event_loop = EventLoop::builder().ring(ring).build().expect("a ring");
            let used = format!("{:?}", event_loop.statistics().ring);
            assert_eq!(used, format!("{ring:?}"), "what the program says counts more");
        }
    });
}

#[test]
fn senseless_options_are_refused() {
    for (builder, word) in [
        (EventLoop::builder().buffers(3, 4096), "3 buffers"),
        (EventLoop::builder().buffers(0, 4096), "0 buffers"),
        (EventLoop::builder().buffers(64, 0), "0 bytes"),
        (EventLoop::builder().submissions(0), "0 entries"),
    ] {
        let error = builder.build().expect_err(word);
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(word), "{error}");
    }
}

/// `kernel.io_uring_disabled` is the whole machine's: `cargo xtask ci --sysctl` sets it to 2 and
/// runs this test alone.
#[test]
#[ignore = "needs kernel.io_uring_disabled = 2, which `cargo xtask ci --sysctl` sets"]
fn io_uring_disabled_for_the_machine_is_named() {
    let (kind, refused, text) = refused();
    assert_eq!(kind, io::ErrorKind::PermissionDenied);
    assert_eq!(refused.errno, libc::EPERM);
    assert!(refused.cause.contains("kernel.io_uring_disabled = 2"), "{text}");
    assert!(refused.fix.contains("sysctl -w kernel.io_uring_disabled=0"), "{text}");
}

#[test]
fn queues_and_buffers_that_make_no_sense_are_refused_in_words() {
    let said = |builder: Builder| {
        let error = builder.build().expect_err("it makes no sense");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        error.to_string()
    };
    let builder = EventLoop::builder;
    assert!(said(builder().submissions(0)).contains("give at least 1"));
    let short = said(builder().submissions(64).completions(32));
    assert!(short.contains("32 entries is shorter than the submission queue of 64"), "{short}");
    assert!(said(builder().completions(0)).contains("give at least as many"));
    assert!(said(builder().buffers(3, 4096)).contains("a power of two"));
    assert!(said(builder().buffers(4, 0)).contains("the size more than 0"));
}
