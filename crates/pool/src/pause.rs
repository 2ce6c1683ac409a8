//! How a thread passes the time while it watches memory instead of sleeping.

/// Lets a moment pass, and now and then others run.
pub(crate) fn give_way(rounds: &mut u32) {
    *rounds = rounds.wrapping_add(1);
    if rounds.is_multiple_of(16) {
        std::thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}
