//! TLS keeps what every stream of bytes promises, whatever it lies on.

use tls::Version;
use uring_loop::io::{ByteStream, duplex};
use uring_loop::net::UnixStream;
use uring_loop::testing::{Faults, SimConfig, check_byte_stream, simulate};

use crate::support::{Authority, ends, run, run_real, shaken, tcp};

#[test]
fn over_tcp() {
    let ends = ends();
    run_real(check_byte_stream(async || shaken(&ends, tcp().await).await));
}

#[test]
fn over_tcp_as_tls_1_2() {
    let authority = Authority::new();
    let client = authority.client().versions(&[Version::Tls12]).build().expect("it fits");
    let ends = (client, authority.server().build().expect("it fits"));
    run_real(check_byte_stream(async || shaken(&ends, tcp().await).await));
}

#[test]
fn over_unix_sockets() {
    let ends = ends();
    run_real(check_byte_stream(async || shaken(&ends, UnixStream::pair().expect("a pair")).await));
}

#[test]
fn over_memory_with_much_and_little_room() {
    let ends = ends();
    // Room it needs for a close_notify, and a server for tickets, that nobody has read yet.
    for capacity in [2000, 64 << 10] {
        run(check_byte_stream(async || shaken(&ends, duplex(capacity)).await));
    }
}

#[test]
fn over_tls() {
    let ends = ends();
    run(check_byte_stream(async || {
        let outer = shaken(&ends, duplex(10_000)).await;
        shaken(&ends, outer).await
    }));
}

#[test]
fn over_a_pointer_to_any_stream() {
    let ends = ends();
    run(check_byte_stream(async || {
        let (one, other) = duplex(10_000);
        let boxes = (Box::new(one) as Box<dyn ByteStream>, Box::new(other) as Box<dyn ByteStream>);
        shaken(&ends, boxes).await
    }));
}

#[test]
fn over_tcp_on_a_simulated_kernel() {
    let ends = ends();
    for seed in 0..3 {
        let config =
            SimConfig { send_buffer: 3000 + 1000 * seed as usize, ..SimConfig::seeded(seed) };
        simulate(config, |_| check_byte_stream(async || shaken(&ends, tcp().await).await));
    }
}

#[test]
fn over_tcp_on_a_kernel_full_of_faults() {
    let ends = ends();
    for seed in 0..4 {
        simulate(SimConfig::seeded(seed), |sim| {
            let ends = &ends;
            check_byte_stream(async move || {
                sim.set_faults(Faults::none());
                let pair = tcp().await;
                sim.set_faults(Faults::chaos());
                shaken(ends, pair).await
            })
        });
    }
}
