//! Start: pinning, options, and what happens when a shard can't start.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use shard::{Ended, Shard, Shards};

use crate::{cpus, eventually, guarded, seats, threads, two_cpus};

/// What the kernel says about the calling thread.
fn mask() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).expect("the mask can be read");
    (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu) == Ok(true)).collect()
}

#[test]
fn every_cpu_of_the_inherited_mask_gets_a_pinned_shard() {
    let ends = guarded(|| {
        let shards = Shards::builder()
            .spawn(|shard| async move { Ok((shard.index(), shard.cpu(), mask())) })
            .expect("shards start");
        assert_eq!(shards.cpus(), cpus());
        shards.join().expect("nothing fails")
    });
    let want: Vec<_> = cpus()
        .into_iter()
        .enumerate()
        .map(|(i, cpu)| Ended::Returned((i, cpu, vec![cpu])))
        .collect();
    assert_eq!(ends, want);
}

#[test]
fn starting_shards_does_not_pin_the_thread_that_starts_them() {
    guarded(|| {
        let before = mask();
        let shards = Shards::builder().spawn(|_| async { Ok(()) }).expect("shards start");
        shards.join().expect("nothing fails");
        assert_eq!(mask(), before);
    });
}

#[test]
fn shards_are_pinned_to_the_cpus_of_the_list_in_its_order() {
    let Some([first, second]) = two_cpus("shards_are_pinned_to_the_cpus_of_the_list_in_its_order")
    else {
        return;
    };
    let ends = guarded(move || {
        let builder = Shards::builder().cpus([second, first, second]);
        let shards = builder.spawn(|_| async { Ok(mask()) }).expect("shards start");
        shards.join().expect("nothing fails")
    });
    let got: Vec<_> = ends.into_iter().filter_map(Ended::returned).collect();
    assert_eq!(got, [[second], [first], [second]]);
}

#[test]
fn a_thread_with_a_narrow_mask_gets_shards_in_it_only() {
    let name = "a_thread_with_a_narrow_mask_gets_shards_in_it_only";
    let Some([first, second]) = two_cpus(name) else { return };
    guarded(move || {
        assert!(core_affinity::set_for_current(core_affinity::CoreId { id: second }));
        let shards = Shards::builder().spawn(|_| async { Ok(mask()) }).expect("shards start");
        assert_eq!(shards.join().expect("nothing fails"), [Ended::Returned(vec![second])]);
        // The other CPU exists, and the kernel would take it.
        let error = Shards::builder()
            .cpus([first])
            .spawn(|_| async { Ok(()) })
            .expect_err("outside the inherited mask");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let text = error.to_string();
        assert!(text.contains(&format!("CPU {first}: it is not in the affinity mask")), "{text}");
    });
}

#[test]
fn a_cpu_outside_the_mask_is_refused_with_cause_and_fix_and_no_thread_starts() {
    let error = guarded(|| {
        let builder = Shards::builder().cpus([cpus()[0], 1023]).name("refused");
        builder.spawn(|_| async { Ok(()) }).expect_err("there is no such CPU")
    });
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let text = error.to_string();
    for part in ["shard 1", "CPU 1023", "affinity mask", "choose among", "taskset"] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    assert_eq!(threads("refused"), 0);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let refused = |builder: shard::Builder| {
        let error = builder.spawn(|_| async { Ok(()) }).expect_err("must be refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        error.to_string()
    };
    assert!(refused(Shards::builder().count(0)).contains("0 shards"));
    assert!(refused(Shards::builder().cpus([])).contains("0 shards"));
    assert!(refused(Shards::builder().count(100_000)).contains("100000 shards, but"));
    assert!(refused(Shards::builder().calls(0)).contains("0 calls"));
    assert!(refused(Shards::builder().name("a\0b")).contains("zero byte"));
}

/// One loop of three is refused: no service runs, the error names the shard, no thread is left.
#[test]
fn when_one_loop_cannot_be_made_none_starts() {
    let begun = Arc::new(AtomicUsize::new(0));
    let count = begun.clone();
    let error = guarded(move || {
        let turns = AtomicUsize::new(0);
        Shards::builder()
            .cpus(seats(3))
            .name("allnone")
            .event_loop(move |options| match turns.fetch_add(1, Ordering::Relaxed) {
                1 => options.submissions(0),
                _ => options,
            })
            .spawn(move |_| async move {
                count.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
            .expect_err("a loop without a submission queue")
    });
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let text = error.to_string();
    assert!(text.starts_with("starting shard ") && text.contains(" on CPU "), "{text}");
    assert!(text.contains("0 entries"), "{text}");
    assert_eq!(begun.load(Ordering::Relaxed), 0);
    eventually("the threads are gone", || threads("allnone") == 0);
}

#[test]
fn a_panic_in_the_options_of_a_loop_is_an_error_of_the_start() {
    let error = guarded(|| {
        let builder = Shards::builder().cpus(seats(2)).event_loop(|_| panic!("bad options"));
        builder.spawn(|_| async { Ok(()) }).expect_err("no options, no loop")
    });
    assert!(error.to_string().contains("starting shard 0"), "{error}");
    assert!(error.to_string().contains("bad options"), "{error}");
}

#[test]
fn threads_have_names_and_none_is_left_after_join() {
    guarded(|| {
        let shards = Shards::builder()
            .cpus(seats(3))
            .name("named")
            .spawn(|shard| async move {
                let name = std::thread::current().name().map(str::to_string);
                assert_eq!(name, Some(format!("named-{}", shard.index())));
                Ok(threads("named"))
            })
            .expect("shards start");
        let ends = shards.join().expect("nothing fails");
        assert!(ends.iter().all(|end| *end == Ended::Returned(3)), "{ends:?}");
        eventually("the threads are gone", || threads("named") == 0);
    });
}

#[test]
fn the_current_shard_is_known_on_its_thread_only() {
    assert!(Shard::try_current().is_none());
    guarded(|| {
        let shards = Shards::builder()
            .cpus(seats(2))
            .spawn(|shard| async move {
                let task = uring_loop::spawn(async { Shard::current().index() });
                Ok(task.await? == shard.index() && shard.count() == 2)
            })
            .expect("shards start");
        let ends = shards.join().expect("nothing fails");
        assert_eq!(ends, [Ended::Returned(true), Ended::Returned(true)]);
    });
}
