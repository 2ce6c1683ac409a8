//! How a thread sleeps that waits, and leads: on its workers' bells, all at once (futex_waitv(2),
//! Linux 5.16). What no bell tells of must wake it all the same.

use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::gettid;
use pool::{Job, JobError, JobState, ProcessPool};

use crate::support::{Flag, collectors_of, eventually, processes, raise_then_wait};

crate::tests![
    a_map_of_large_results_goes_on_beside_a_wait,
    a_wait_hears_of_workers_that_start_meanwhile,
    a_wait_hears_of_a_death,
    a_sleeping_wait_ends_at_its_deadline,
    a_doorbell_attached_beside_a_sleeping_wait_misses_nothing,
    without_the_kernels_help_a_wait_sleeps_on_the_sockets,
];

/// The number of futex_waitv(2), the same on all architectures but alpha.
const FUTEX_WAITV: u32 = 449;

/// A job that ends when it is told to.
fn held(pool: &ProcessPool, name: &str) -> (Job<u32>, Flag) {
    let (started, go_on) = (Flag::new(&format!("{name}-1")), Flag::new(&format!("{name}-2")));
    let job = pool.submit(raise_then_wait, (started.0.clone(), go_on.0.clone()));
    eventually("the job runs", || started.is_raised());
    (job, go_on)
}

/// Whether a thread of this process sleeps on words.
fn sleeps_on_words(thread: i32) -> bool {
    let call = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall")).unwrap();
    call.split(' ').next() == Some(&FUTEX_WAITV.to_string())
}

/// Runs `meanwhile` while another thread waits for the job, when whoever leads has gone to sleep:
/// that thread, or the collector, which the supervisor has called in if nobody waited for a while.
fn beside_a_wait<T>(
    pool: &ProcessPool,
    job: Job<u32>,
    meanwhile: impl FnOnce() -> T,
) -> (T, Result<u32, JobError>) {
    thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        let waiting = scope.spawn(move || {
            tell.send(gettid().as_raw()).unwrap();
            job.wait()
        });
        let waits = told.recv().unwrap();
        eventually("it sleeps", || {
            sleeps_on_words(waits) || collectors_of(pool).into_iter().any(sleeps_on_words)
        });
        let value = meanwhile();
        (value, waiting.join().unwrap())
    })
}

fn a_map_of_large_results_goes_on_beside_a_wait() {
    let pool = processes(2);
    let ((long, end), (other, end_other)) = (held(&pool, "beside-a"), held(&pool, "beside-b"));
    end_other.raise();
    other.wait().unwrap();
    // A chunk's results are more than its worker keeps, and than its socket takes at once.
    let (results, waited) = beside_a_wait(&pool, long, || {
        let results: Result<Vec<_>, _> =
            pool.map(|n: u8| vec![n; 300_000], 0..8).chunk(4).collect();
        end.raise();
        results
    });
    let wanted: Vec<_> = (0..8).map(|n| vec![n; 300_000]).collect();
    assert!(results == Ok(wanted), "other results");
    assert!(waited.is_ok());
}

fn a_wait_hears_of_workers_that_start_meanwhile() {
    let pool = processes(2);
    let (long, end) = held(&pool, "newborn");
    let (result, waited) = beside_a_wait(&pool, long, || {
        let result = pool.submit(|| 7u8, ()).wait();
        end.raise();
        result
    });
    assert_eq!(result, Ok(7));
    assert!(waited.is_ok());
}

fn a_wait_hears_of_a_death() {
    let pool = processes(1);
    let (long, _never) = held(&pool, "bell-death");
    let pid = pool.statistics().workers[0].pid;
    let (killed, waited) = beside_a_wait(&pool, long, || {
        let pid = nix::unistd::Pid::from_raw(pid as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL)
    });
    assert_eq!(killed, Ok(()));
    assert!(matches!(waited, Err(JobError::WorkerDied(_))), "{waited:?}");
}

fn a_sleeping_wait_ends_at_its_deadline() {
    let pool = processes(1);
    let (mut long, end) = held(&pool, "bell-deadline");
    assert!(long.wait_timeout(Duration::from_millis(20)).is_none());
    assert!(long.wait_timeout(Duration::ZERO).is_none());
    end.raise();
    assert!(long.wait().is_ok());
}

fn a_doorbell_attached_beside_a_sleeping_wait_misses_nothing() {
    let pool = processes(2);
    let ((long, end), (other, end_other)) = (held(&pool, "bells-a"), held(&pool, "bells-b"));
    let (_, waited) = beside_a_wait(&pool, long, || {
        let bell = pool.doorbell();
        end_other.raise();
        // The one who sleeps may hear of it, or the loop.
        while other.state() != JobState::Done {
            let mut fds = [PollFd::new(bell.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::from(1u8)).unwrap();
            bell.reap();
        }
        drop(bell);
        end.raise();
    });
    assert!(waited.is_ok());
    assert!(other.wait().is_ok());
}

fn without_the_kernels_help_a_wait_sleeps_on_the_sockets() {
    let pool = processes(1);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            refuse_to_this_thread(FUTEX_WAITV);
            for n in 0..20u32 {
                let job = pool.submit(
                    |n: u32| {
                        thread::sleep(Duration::from_millis(2));
                        n
                    },
                    (n,),
                );
                assert_eq!(job.wait(), Ok(n));
            }
        });
        waiting.join().unwrap();
    });
}

/// Has this system call fail with `ENOSYS` from now on, as on kernels that have none: seccomp(2).
fn refuse_to_this_thread(call: u32) {
    /// `struct sock_filter` of linux/filter.h.
    #[repr(C)]
    struct Step(u16, u8, u8, u32);
    /// `struct sock_fprog`.
    #[repr(C)]
    struct Filter(u16, *const Step);
    // SAFETY: this is how prctl(2) declares it.
    unsafe extern "C" {
        fn prctl(option: i32, ...) -> i32;
    }
    const SET_NO_NEW_PRIVS: i32 = 38;
    const SET_SECCOMP: i32 = 22;
    const MODE_FILTER: u64 = 2;
    let steps = [
        Step(0x20, 0, 0, 0),                // what call is it?
        Step(0x15, 0, 1, call),             // this one
        Step(0x06, 0, 0, 0x0005_0000 | 38), // has no implementation
        Step(0x06, 0, 0, 0x7fff_0000),      // all others are allowed
    ];
    let filter = Filter(steps.len() as u16, steps.as_ptr());
    // SAFETY: plain numbers, and a filter that lives through the call, of the kernel's layout.
    let set = unsafe {
        prctl(SET_NO_NEW_PRIVS, 1u64, 0u64, 0u64, 0u64)
            | prctl(SET_SECCOMP, MODE_FILTER, &raw const filter)
    };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}
