//! Guests that compute beside others on one thread: what the others notice of it, and how they share.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use tokio::{
    runtime::Builder,
    task::{JoinHandle, LocalSet, spawn_local, yield_now},
};
use wapcd::host::{
    CallError, CompiledModule, GuestExit, HostCallbackAsync, HostOptions, Limits, WapcHostAsync, WasiParams,
};

use crate::guest::{MENU, compile, guest};

/// Host calls of the neighbour's call.
const HOST_CALLS: u32 = 1_000;

/// A guest computes for so long at a time.
pub(crate) const SLICE: Duration = Duration::from_millis(2);

/// How much longer a call may take beside guests that compute: one of their slices for each twenty of its host calls. A
/// machine that keeps the ticking thread waiting makes slices longer.
const MOST: Duration = SLICE.saturating_mul(HOST_CALLS / 20);

/// Tries for what a loaded machine can spoil: the best of them counts.
pub(crate) const TRIES: u32 = 5;

/// Tries for what it spoils more often than not. The first good one ends them, so that they are few elsewhere.
const MANY_TRIES: u32 = 25;

/// Thread time after which a turn is no part of a guest's slice: it only found that it must wait. Nothing is lost of a
/// slice by this much, and a turn that finds nothing takes some hundredths of it.
const TURN: Duration = Duration::from_micros(100);

/// Longer than any of these tests computes.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) fn on_one_thread(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

/// Answers after the thread has turned over, as an actor on it does.
fn from_this_thread() -> Box<HostCallbackAsync> {
    Box::new(|_, call| {
        Box::pin(async move {
            yield_now().await;
            Ok(call.payload)
        })
    })
}

/// Answers from another thread, as another worker does.
fn from_another_thread() -> Box<HostCallbackAsync> {
    type Call = (Bytes, tokio::sync::oneshot::Sender<Bytes>);
    let (calls, taken) = mpsc::channel::<Call>();
    thread::spawn(move || taken.iter().for_each(|(payload, reply)| reply.send(payload).unwrap_or_default()));
    Box::new(move |_, call| {
        let (reply, answer) = tokio::sync::oneshot::channel();
        calls.send((call.payload, reply)).unwrap();
        Box::pin(async move { Ok(answer.await?) })
    })
}

async fn host_of(module: &CompiledModule, deadline: Duration, callback: Box<HostCallbackAsync>) -> WapcHostAsync {
    let limits = Limits { deadline: Some(deadline), ..Limits::default() };
    let options = HostOptions { limits, ..HostOptions::default() };
    let engine = Box::new(module.provider(WasiParams::default()));
    WapcHostAsync::with_options(engine, Some(callback), options).await.unwrap()
}

/// Makes a thousand host calls in each call.
fn neighbour_module() -> CompiledModule {
    compile(&guest(&format!(
        "(loop $on
           (drop (call $host_call (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)
             (i32.const 0) (i32.const 6)))
           (local.set $n (i64.add (local.get $n) (i64.const 1)))
           (br_if $on (i64.lt_u (local.get $n) (i64.const {HOST_CALLS}))))"
    )))
}

/// Time of this thread on a core, which leaves out what else the machine does.
pub(crate) fn on_core() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Time that passes, for what waits for other threads.
fn since_start() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

async fn time_of(host: &mut WapcHostAsync, clock: fn() -> Duration) -> Duration {
    let began = clock();
    host.call("any", "").await.unwrap();
    clock() - began
}

/// How the call of a guest that computes ended.
#[derive(Debug)]
struct Spun {
    ended: Result<Bytes, CallError>,
    took: Duration,
    /// When it ended, on the clock of its thread.
    at: Duration,
}

/// Computes until it is dropped.
async fn spinner(deadline: Duration) -> JoinHandle<Spun> {
    let mut host = host_of(&MENU, deadline, from_this_thread()).await;
    spawn_local(async move {
        let began = Instant::now();
        let ended = host.call("spin", "").await;
        Spun { ended, took: began.elapsed(), at: on_core() }
    })
}

/// Starts so many, and waits until each of them has had a slice.
async fn spinners(count: u32, deadline: Duration) -> Vec<JoinHandle<Spun>> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(spinner(deadline).await);
    }
    tokio::time::sleep(SLICE * (2 * count + 2)).await;
    all
}

/// Times of a neighbour alone, and right after that beside so many computing guests: the first that are good, else those
/// where it took the least beside them.
async fn neighbour_times(
    count: u32,
    callback: fn() -> Box<HostCallbackAsync>,
    clock: fn() -> Duration,
    good: fn(Duration, Duration) -> bool,
) -> Result<(), String> {
    let mut host = host_of(&neighbour_module(), LONG, callback()).await;
    let mut best = (Duration::MAX, Duration::MAX);
    for _ in 0..MANY_TRIES {
        let alone = time_of(&mut host, clock).await;
        let busy = spinners(count, LONG).await;
        let beside = time_of(&mut host, clock).await;
        for spinner in busy {
            spinner.abort();
            spinner.await.unwrap_err();
        }
        if good(alone, beside) {
            return Ok(());
        }
        best = best.min((beside, alone));
    }
    Err(format!("{:?} instead of {:?}", best.0, best.1))
}

#[test]
fn a_call_with_many_host_calls_takes_little_longer_beside_a_guest_that_computes() {
    on_one_thread(async {
        let good = |alone, beside| beside < 3 * alone + MOST;
        neighbour_times(1, from_this_thread, on_core, good).await.unwrap();
    });
}

#[test]
fn a_call_with_many_host_calls_takes_little_longer_beside_twenty_guests_that_compute() {
    on_one_thread(async {
        let good = |alone, beside| beside < 3 * alone + MOST;
        neighbour_times(20, from_this_thread, on_core, good).await.unwrap();
    });
}

#[test]
fn host_calls_that_other_threads_answer_take_little_longer_beside_guests_that_compute() {
    on_one_thread(async {
        // Where others compute on all cores, the answering thread waits for one at times, and a slice is paid for that.
        let good = |alone, beside| beside < 4 * alone + MOST;
        neighbour_times(3, from_another_thread, since_start, good).await.unwrap();
    });
}

/// Computes until it is dropped, and counts on the way by host calls that are answered at once.
async fn counting(count: Arc<AtomicU32>) -> JoinHandle<()> {
    let body = "(loop $for_ever
        (local.set $n (i64.const 0))
        (loop $on (local.set $n (i64.add (local.get $n) (i64.const 1)))
          (br_if $on (i64.lt_u (local.get $n) (i64.const 100000))))
        (drop (call $host_call (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)
          (i32.const 0) (i32.const 6)))
        (br $for_ever))";
    let answer: Box<HostCallbackAsync> = Box::new(move |_, call| {
        count.fetch_add(1, Relaxed);
        Box::pin(std::future::ready(Ok(call.payload)))
    });
    let mut host = host_of(&compile(&guest(body)), LONG, answer).await;
    spawn_local(async move {
        host.call("any", "").await.unwrap_err();
    })
}

#[test]
fn guests_that_compute_share_their_thread_evenly() {
    on_one_thread(async {
        let counts: Vec<Arc<AtomicU32>> = (0..4).map(|_| Arc::default()).collect();
        let mut all = Vec::new();
        for count in &counts {
            all.push(counting(Arc::clone(count)).await);
        }
        // A slice is time that passes, and another process takes the core away in the midst of some. Who is favoured is
        // so in each window; what the machine does is not.
        let mut windows = Vec::new();
        let even = |seen: &Vec<u32>| {
            let (least, most) = (*seen.iter().min().unwrap(), *seen.iter().max().unwrap());
            least > 0 && most < 2 * least
        };
        while !windows.last().is_some_and(even) && windows.len() < MANY_TRIES as usize {
            let before: Vec<u32> = counts.iter().map(|count| count.load(Relaxed)).collect();
            tokio::time::sleep(200 * SLICE).await;
            windows.push(counts.iter().zip(before).map(|(count, before)| count.load(Relaxed) - before).collect());
        }
        assert!(windows.last().is_some_and(even), "{windows:?}");
        all.iter().for_each(JoinHandle::abort);
    });
}

/// Thread time of a call that only computes, the part of it in which the guest did not, and how often it was interrupted.
async fn lost_beside_nobody(module: &CompiledModule) -> (Duration, Duration, u32) {
    // The machine's other work is in the time of a call, and in nothing that is measured of it.
    let mut host = host_of(module, LONG * 15, from_this_thread()).await;
    let mut call = pin!(host.call("any", ""));
    let (mut computed, mut slices, began) = (Duration::ZERO, 0, on_core());
    poll_fn(|cx| {
        let began = on_core();
        let polled = call.as_mut().poll(cx);
        let took = on_core() - began;
        if took >= TURN {
            (computed, slices) = (computed + took, slices + 1);
        }
        polled
    })
    .await
    .unwrap();
    let all = on_core() - began;
    (all, all - computed, slices)
}

#[test]
fn a_guest_that_computes_has_its_thread_almost_whole_while_nobody_else_needs_it() {
    let module = compile(&guest(
        "(loop $on (local.set $n (i64.add (local.get $n) (i64.const 1)))
           (br_if $on (i64.lt_u (local.get $n) (i64.const 100000000))))",
    ));
    // Parts of the same thread's time in the same call: the machine's speed, which changes with its load, is in both.
    // Some quiet turns of a few microseconds, unoptimised and with two looks at the clock in each, are a hundredth of a
    // slice. The shortest silence that could be awaited in vain, 100 microseconds after an answer, is five.
    let most = 0.035;
    let mut least = f64::INFINITY;
    for _ in 0..MANY_TRIES {
        on_one_thread(async {
            let (all, lost, slices) = lost_beside_nobody(&module).await;
            assert!(slices > 5, "{slices} slices in {all:?}");
            least = least.min(lost.as_secs_f64() / all.as_secs_f64());
        });
        if least < most {
            break;
        }
    }
    assert!(least < most, "{least:.4} of the thread's time is lost");
}

#[test]
fn guests_that_compute_end_at_their_deadlines_however_many_there_are() {
    // So many that what the ticking thread is late on a busy machine is little beside their turns.
    const GUESTS: u32 = 40;
    on_one_thread(async {
        let deadline = Duration::from_millis(150);
        // Half of what one would be late that waits for its turn in order to end.
        let most = GUESTS / 2 * SLICE;
        let mut least = Duration::MAX;
        for _ in 0..MANY_TRIES {
            // Each beside a timer of the same thread: what that is late, and what the machine does meanwhile, is in both.
            let mut all = Vec::new();
            for _ in 0..GUESTS {
                let spinner = spinner(deadline).await;
                let timer = spawn_local(async move {
                    tokio::time::sleep(deadline).await;
                    on_core()
                });
                all.push((spinner, timer));
            }
            let mut latest = Duration::ZERO;
            for (spinner, timer) in all {
                let Spun { ended, took, at } = spinner.await.unwrap();
                assert!(matches!(ended, Err(CallError::Exit(GuestExit::DeadlineExceeded { .. }))), "{ended:?}");
                assert!(took >= deadline, "{took:?}");
                latest = latest.max(at.saturating_sub(timer.await.unwrap()));
            }
            least = least.min(latest);
            if least < most {
                break;
            }
        }
        assert!(least < most, "{least:?} later than a timer");
    });
}

#[test]
fn a_computing_guest_whose_call_is_dropped_holds_up_nobody() {
    on_one_thread(async {
        let mut all = spinners(3, LONG).await;
        let last = all.pop().unwrap();
        for spinner in all {
            spinner.abort();
            spinner.await.unwrap_err();
        }
        let count = Arc::new(AtomicU32::new(0));
        let counter = counting(Arc::clone(&count)).await;
        // For ever, if it waited for one of those that are gone.
        let began = Instant::now();
        while count.load(Relaxed) == 0 && began.elapsed() < LONG / 2 {
            tokio::time::sleep(SLICE).await;
        }
        assert!(count.load(Relaxed) > 0);
        last.abort();
        counter.abort();
    });
}

#[test]
fn a_call_that_is_not_polled_holds_up_no_other_guest_that_computes() {
    on_one_thread(async {
        let mut idle = host_of(&MENU, LONG, from_this_thread()).await;
        let mut held = Box::pin(idle.call("spin", ""));
        // Until it waits for its turn.
        for _ in 0..3 {
            tokio::select! { biased; _ = &mut held => {}, () = yield_now() => {} }
        }
        let Spun { ended, took, .. } = spinner(50 * SLICE).await.await.unwrap();
        assert!(ended.is_err() && took < LONG / 2, "{took:?}");
        drop(held);
    });
}
