//! Servers under each model: echo, mixed, kv. Runs in the measured process, which prints
//! `listening ADDRESS`, and ends when it has served all connections (models of threads) or when its
//! stdin ends (models of loops).

use std::cell::RefCell;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use anyhow::{Context, bail, ensure};
use pool::{ProcessPool, ThreadPool};
use socket2::{Domain, Protocol, Socket, Type};
use uring_loop::JoinError;
use uring_loop::net::TcpListener;

use super::batch::WAITING_THREADS;
use super::cores::{self, Part, What, Worker};
use super::kv::{self, Keys, Locked};
use super::kv_shards::Supervisor;
use super::meter::{self, Watch};
use super::report::{Finding, Order};
use super::service::{self, Helpers, Service};
use super::{Model, file_ops, limits};

/// Serves what is ordered, and measures it from the moment it listens.
///
/// # Errors
///
/// When a connection fails; [`cores::NoLoop`].
pub fn run(order: &Order) -> anyhow::Result<Finding> {
    measure(order, |service, watch| match order.model {
        Model::Sequential | Model::ThreadPerJob | Model::ThreadPool => {
            on_threads(order, service, watch)
        }
        Model::Coroutines => one_loop(service, None, watch),
        Model::LoopPerCore => loop_per_core(order, service, watch),
        Model::ProcessPool => {
            // Its threads, and so its workers, keep all cores: the loop is pinned after this.
            let pool = ProcessPool::builder().workers(order.cores.len()).build()?;
            meter::confine(&order.cores[..1])?;
            one_loop(service, Some(Rc::new(pool)), watch)
        }
        Model::ProcessPerCore if service == Service::Kv => store_per_core(order, watch),
        Model::ProcessPerCore => process_per_core(order, service, watch),
        Model::Foreign(model) => bail!("{model} is a program of its own"),
    })
}

/// Measures how `serve` serves what is ordered, on the cores of the model.
///
/// # Errors
///
/// When the workload is not served; those of `serve`.
pub fn measure(
    order: &Order,
    serve: impl FnOnce(Service, &mut Watch) -> anyhow::Result<()>,
) -> anyhow::Result<Finding> {
    let service = Service::of(order);
    let service = service.with_context(|| format!("{} is not served", order.workload))?;
    crate::pin::raise_file_limit()?;
    meter::confine(if order.model.is_parallel() { &order.cores } else { &order.cores[..1] })?;
    let mut watch = Watch::new(std::process::id(), order.model.has_processes());
    let before = meter::cost()?;
    serve(service, &mut watch)?;
    Ok(Finding {
        cost: meter::difference(meter::cost()?, before),
        pins: meter::notes(),
        seen: watch.seen(),
        ..Finding::default()
    })
}

/// Says where it listens.
///
/// # Errors
///
/// When nobody reads it.
pub fn announce(address: SocketAddr) -> anyhow::Result<()> {
    println!("listening {address}");
    Ok(std::io::stdout().flush()?)
}

/// A socket bound to a port of 127.0.0.1 that others can share, not listening yet.
///
/// # Errors
///
/// Those of socket(2) and bind(2).
pub fn bound() -> anyhow::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).into())?;
    Ok(socket)
}

fn on_threads(order: &Order, service: Service, watch: &mut Watch) -> anyhow::Result<()> {
    let socket = bound()?;
    socket.listen(limits::backlog() as i32)?;
    let listener = std::net::TcpListener::from(socket);
    meter::note(if order.model == Model::Sequential { "main thread" } else { "accepting thread" });
    announce(listener.local_addr()?)?;
    let keys = Arc::new(Locked::new());
    let mut streams = listener.incoming().take(order.connections());
    match order.model {
        Model::Sequential => {
            streams.try_for_each(|stream| service::blocking(stream?, service, &keys))?;
        }
        Model::ThreadPerJob => {
            let threads = streams.map(|stream| {
                let (stream, keys) = (stream?, Arc::clone(&keys));
                std::thread::Builder::new().spawn(move || {
                    meter::note("connection thread");
                    service::blocking(stream, service, &keys)
                })
            });
            let threads: Vec<_> = threads.collect::<Result<_, _>>()?;
            watch.look();
            for thread in threads {
                thread.join().expect("a connection panicked")?;
            }
        }
        _ => {
            let pool = ThreadPool::builder()
                .threads(WAITING_THREADS)
                .initializer(|| meter::note("pool thread"))
                .build()?;
            let jobs: Vec<_> = streams
                .map(|stream| {
                    let (stream, keys) = (stream?, Arc::clone(&keys));
                    Ok(pool.spawn(move || service::blocking(stream, service, &keys)))
                })
                .collect::<std::io::Result<_>>()?;
            watch.look();
            jobs.into_iter().try_for_each(|job| anyhow::Ok(job.wait()??))?;
        }
    }
    watch.look();
    Ok(())
}

/// Serves on a new loop of this thread until our stdin ends.
fn one_loop(
    service: Service,
    workers: Option<Rc<ProcessPool>>,
    watch: &mut Watch,
) -> anyhow::Result<()> {
    meter::note("loop thread");
    let socket = bound()?;
    socket.listen(limits::backlog() as i32)?;
    let address = socket.local_addr()?.as_socket().context("an address of another kind")?;
    let stop = std::io::stdin().as_fd().try_clone_to_owned()?;
    let mut event_loop = cores::event_loop()?;
    let helpers = Helpers { workers: workers.clone(), ..Helpers::none() };
    event_loop.run_until_complete(async move {
        let listener = TcpListener::from_owned_fd(socket.into());
        announce(address)?;
        accept_until(listener, service, stop, helpers).await
    })??;
    watch.look();
    if let Some(pool) = workers {
        watch.look_and_note("worker process");
        // The children's cost is known when they have been waited for.
        pool.shutdown(true, false);
    }
    Ok(())
}

/// Serves on a new loop of this thread at a port that others share, until `stop` ends; `ready` is
/// called when it listens.
///
/// # Errors
///
/// [`cores::NoLoop`], and the first error of a connection.
pub fn one_of_several(
    port: u16,
    service: Service,
    stop: OwnedFd,
    ready: impl FnOnce(),
) -> anyhow::Result<()> {
    cores::event_loop()?.run_until_complete(serve_at(
        port,
        service,
        stop,
        Helpers::none(),
        ready,
    ))?
}

async fn serve_at(
    port: u16,
    service: Service,
    stop: OwnedFd,
    helpers: Helpers,
    ready: impl FnOnce(),
) -> anyhow::Result<()> {
    let listener = TcpListener::bind_reuse_port((Ipv4Addr::LOCALHOST, port))?;
    ready();
    accept_until(listener, service, stop, helpers).await
}

async fn accept_until(
    listener: TcpListener,
    service: Service,
    stop: OwnedFd,
    helpers: Helpers,
) -> anyhow::Result<()> {
    let failure = Rc::new(RefCell::new(None));
    let seen = Rc::clone(&failure);
    let acceptor = uring_loop::spawn(async move {
        loop {
            let stream = listener.accept().await?;
            let served = service::coroutine(stream, service, helpers.clone());
            let seen = Rc::clone(&seen);
            drop(uring_loop::spawn(async move {
                if let Err(error) = served.await {
                    seen.borrow_mut().get_or_insert(error);
                }
            }));
        }
    });
    file_ops::closed(stop).await?;
    acceptor.cancel();
    let ended: Result<anyhow::Result<()>, JoinError> = acceptor.await;
    match ended {
        Err(error) if error.is_cancelled() => {}
        Err(error) => return Err(io::Error::from(error).into()),
        Ok(result) => result?,
    }
    failure.take().map_or(Ok(()), Err)
}

fn loop_per_core(order: &Order, service: Service, watch: &mut Watch) -> anyhow::Result<()> {
    meter::note("main thread");
    let reserved = bound()?;
    let address = reserved.local_addr()?.as_socket().context("an address of another kind")?;
    let (ready, listening) = mpsc::channel();
    let (stops, ends): (Vec<_>, Vec<_>) = order
        .cores
        .iter()
        .map(|_| std::io::pipe().map(|(stop, end)| (Some(OwnedFd::from(stop)), end)))
        .collect::<io::Result<Vec<_>>>()?
        .into_iter()
        .unzip();
    let stops = Arc::new(Mutex::new(stops));
    let shards = cores::shards(&order.cores, move |shard| async move {
        meter::note("loop thread");
        let stop = stops.lock().unwrap_or_else(PoisonError::into_inner)[shard.index()].take();
        let stop = stop.context("every shard has an index of its own")?;
        // Nobody listens when another shard has failed, which is reported there.
        let ready = move || {
            let _ = ready.send(());
        };
        if service == Service::Kv {
            kv::prepare(&shard);
        }
        let helpers = Helpers { workers: None, keys: Keys::Threads(shard) };
        serve_at(address.port(), service, stop, helpers, ready).await
    })?;
    let count = listening.iter().take(order.cores.len()).count();
    if count == order.cores.len() {
        announce(address)?;
        until_stdin_ends()?;
        watch.look();
    }
    drop(ends);
    shards.join()?;
    ensure!(count == order.cores.len(), "only {count} loops listened");
    Ok(())
}

fn store_per_core(order: &Order, watch: &mut Watch) -> anyhow::Result<()> {
    meter::note("main thread");
    let mut supervisor = Supervisor::start(&order.cores, order.life)?;
    announce(supervisor.wait_ready(order.cores.len())?)?;
    watch.look_and_note("process with a loop, or their supervisor");
    until_stdin_ends()?;
    watch.look();
    supervisor.finish()
}

fn until_stdin_ends() -> anyhow::Result<()> {
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn process_per_core(order: &Order, service: Service, watch: &mut Watch) -> anyhow::Result<()> {
    meter::note("main thread");
    let reserved = bound()?;
    let address = reserved.local_addr()?.as_socket().context("an address of another kind")?;
    let part =
        |&core: &usize| Part { core, life: order.life, what: What::Serve(address.port(), service) };
    let parts = order.cores.iter().map(part);
    let mut workers: Vec<Worker> =
        parts.map(|part| Worker::start(&part)).collect::<anyhow::Result<_>>()?;
    if let Some(error) = workers.iter_mut().find_map(|worker| worker.wait_ready().err()) {
        // One that had no loop says so at its end.
        for worker in workers {
            worker.finish()?;
        }
        return Err(error);
    }
    announce(address)?;
    until_stdin_ends()?;
    watch.look();
    for worker in workers {
        worker.finish()?;
    }
    Ok(())
}
