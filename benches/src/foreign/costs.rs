//! What concurrency itself costs, as tasks of any [`Runtime`]: slices with a lock, hand-overs, a
//! million waits, and the memory of a task.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use futures_util::task::AtomicWaker;

use super::peer::Runtime;
use crate::exec::{LONG, Yield, asleep, count_asleep};
use crate::workloads::million::{self, APART, AT_LEAST, FOR_EACH, TRIES};
use crate::workloads::pages::Pages;
use crate::workloads::report::{Finding, Order};
use crate::workloads::stage::Stage;
use crate::workloads::switches::{self, BATCH, Lap};
use crate::workloads::thrash::{self, Ledger, Slice};
use crate::workloads::{Workload, memory};

/// Does what is ordered on a runtime, and measures it.
///
/// # Errors
///
/// When a result is wrong, or the runtime doesn't start.
pub fn run<R: Runtime>(order: &Order) -> anyhow::Result<Finding> {
    match order.workload {
        Workload::Thrash => slices::<R>(order),
        Workload::Switches => hand_overs::<R>(order),
        Workload::Million => sleepers::<R>(order),
        Workload::Memory => idle::<R>(order),
        other => bail!("{other} asks for no cost of a task"),
    }
}

/// A ledger that tasks share.
pub type Shared = Arc<Mutex<Ledger>>;

fn slices<R: Runtime>(order: &Order) -> anyhow::Result<Finding> {
    let (shares, ledger) = (thrash::shares(order), Shared::default());
    let shared = Arc::clone(&ledger);
    let mut stage = Stage::begin(order)?;
    let took = R::run(order.cores.len(), async move {
        let work = |share| R::slices(share, Arc::clone(&shared));
        let workers: Vec<_> = shares.into_iter().map(work).collect();
        let mut took = Vec::new();
        for worker in workers {
            took.extend(worker.await?);
        }
        Ok(took)
    })?;
    stage.last();
    let finding = stage.end(took.len(), took)?;
    thrash::verify(order, &ledger.lock().unwrap_or_else(PoisonError::into_inner))?;
    Ok(finding)
}

/// Does slices, and lets the others run after each.
///
/// # Errors
///
/// None, but its callers have some.
///
/// # Cancel safety
///
/// None: what is left of the slices is not done.
pub async fn work_off(share: Vec<Slice>, ledger: Shared) -> anyhow::Result<Vec<Duration>> {
    let mut took = Vec::with_capacity(share.len());
    for slice in share {
        took.push(slice.run(&ledger));
        Yield::default().await;
    }
    Ok(took)
}

/// Two tasks sit at it, and only one of them has the turn.
#[derive(Debug, Default)]
pub struct Table {
    handed: AtomicU32,
    wakers: [AtomicWaker; 2],
}

impl Table {
    /// Waits for the turn of a side, and gives it to the other.
    async fn hand_over(&self, side: usize) {
        let mine = || self.handed.load(Ordering::Acquire) as usize % 2 == side;
        poll_fn(|context| {
            if mine() {
                return Poll::Ready(());
            }
            self.wakers[side].register(context.waker());
            if mine() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.handed.fetch_add(1, Ordering::Release);
        self.wakers[1 - side].wake();
    }
}

fn hand_overs<R: Runtime>(order: &Order) -> anyhow::Result<Finding> {
    // All on one core, whatever the model.
    let order = &Order { cores: order.cores[..1].to_vec(), ..order.clone() };
    let rounds = switches::rounds(order)?;
    let mut stage = Stage::begin(order)?;
    let laps = R::run(1, async move {
        let table = Arc::new(Table::default());
        let second = R::turns(Arc::clone(&table), 1, rounds);
        let laps = R::turns(Arc::clone(&table), 0, rounds).await?;
        second.await?;
        let handed = table.handed.load(Ordering::Acquire);
        ensure!(handed == 2 * rounds, "hand-overs were lost");
        Ok(laps)
    })?;
    stage.last();
    stage.end(order.count(), switches::each(order.count(), laps)?)
}

/// Takes turns with another at a table; how long batches of rounds took.
///
/// # Errors
///
/// None, but its callers have some.
///
/// # Cancel safety
///
/// None: the other waits for ever.
pub async fn take_turns(table: Arc<Table>, side: usize, rounds: u32) -> anyhow::Result<Vec<Lap>> {
    let (mut laps, mut left) = (Vec::with_capacity((rounds / BATCH + 1) as usize), rounds);
    while left > 0 {
        let (begin, batch) = (Instant::now(), left.min(BATCH));
        for _ in 0..batch {
            table.hand_over(side).await;
        }
        laps.push((batch, begin.elapsed()));
        left -= batch;
    }
    Ok(laps)
}

/// Who sleeps, and who woke.
#[derive(Debug, Default)]
pub struct Night {
    asleep: AtomicUsize,
    early: AtomicUsize,
    late: Mutex<Vec<Duration>>,
}

impl Night {
    fn for_so_many(count: usize) -> Self {
        // Its pages are not the sleepers' memory.
        let mut late = vec![Duration::MAX; count];
        late.clear();
        Self { late: Mutex::new(late), ..Self::default() }
    }

    fn asleep(&self) -> usize {
        self.asleep.load(Ordering::Acquire)
    }

    fn woken(&self) -> usize {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Sleeps until a moment, and notes how late it woke.
///
/// # Cancel safety
///
/// Weak: it is not noted.
pub async fn sleep_until<R: Runtime>(moment: Instant, night: Arc<Night>) {
    night.asleep.fetch_add(1, Ordering::Release);
    R::sleep(moment.saturating_duration_since(Instant::now())).await;
    let late = Instant::now().checked_duration_since(moment);
    night.early.fetch_add(usize::from(late.is_none()), Ordering::Relaxed);
    let mut all = night.late.lock().unwrap_or_else(PoisonError::into_inner);
    all.push(late.unwrap_or_default());
}

fn sleepers<R: Runtime>(order: &Order) -> anyhow::Result<Finding> {
    let count = order.count();
    let usual = AT_LEAST.max(FOR_EACH * u32::try_from(count)?);
    // A later try has the memory that one before it has left.
    let mut most = 0;
    for attempt in 0..TRIES {
        let lead = usual * 2_u32.pow(attempt);
        let over = APART * u32::try_from(count)?;
        let night = Arc::new(Night::for_so_many(count));
        let mut stage = Stage::begin(order)?;
        let sleep = one_night::<R>(Arc::clone(&night), count, lead, over);
        let (grown, good) = R::run(order.cores.len(), sleep)?;
        most = most.max(grown);
        if !good {
            continue;
        }
        stage.last();
        let early = night.early.load(Ordering::Acquire);
        ensure!(early == 0, "{early} sleepers were woken too early");
        let late = std::mem::take(&mut *night.late.lock().unwrap_or_else(PoisonError::into_inner));
        let finding = stage.end(late.len(), late)?;
        let remarks = vec![format!(
            "all slept at once, woken from {lead:?} on over {over:?}; latency is how late each woke"
        )];
        return Ok(Finding { remarks, unit_bytes: Some(most / count as u64), ..finding });
    }
    bail!("{count} sleepers never slept all at once: making them takes too long here")
}

/// What was added to the memory when all slept, and whether the first was to sleep on by then.
async fn one_night<R: Runtime>(
    night: Arc<Night>,
    count: usize,
    lead: Duration,
    over: Duration,
) -> anyhow::Result<(u64, bool)> {
    const TICK: Duration = Duration::from_millis(2);
    let before = Pages::now()?;
    let first = Instant::now() + lead;
    for index in 0..count {
        R::sleeper(first + million::moment(index, count, over), Arc::clone(&night));
    }
    while night.asleep() < count {
        R::sleep(TICK).await;
    }
    let grown = Pages::now()?.each(before, 1).user;
    let good = Instant::now() < first;
    while night.woken() < count {
        R::sleep(TICK).await;
    }
    Ok((grown, good))
}

/// Sleeps for longer than anything here takes. It holds nothing but its sleep.
///
/// # Cancel safety
///
/// Strict.
pub async fn sleep_long<R: Runtime>() {
    asleep();
    R::sleep(LONG).await;
}

fn idle<R: Runtime>(order: &Order) -> anyhow::Result<Finding> {
    let (units, reduced) = memory::units(order);
    let first = memory::first(units);
    let mut stage = Stage::begin(order)?;
    let looks = R::run(order.cores.len(), async move {
        let mut looks = Vec::new();
        for count in [first, units] {
            (count_asleep()..count).for_each(|_| R::idler());
            while count_asleep() < count {
                R::sleep(Duration::from_millis(1)).await;
            }
            looks.push(Pages::now()?);
        }
        Ok(looks)
    })?;
    stage.last();
    let each = looks[1].each(looks[0], units - first);
    let remarks = vec![format!(
        "one more costs the kernel {} (growth of the whole machine, so it is noisy)",
        each.kernel
    )];
    let finding = stage.end(units, Vec::new())?;
    Ok(Finding { reduced, remarks, unit_bytes: Some(each.user), ..finding })
}
