//! The clock that interrupts guests: a thread that advances the engine's epoch while guests run, and sleeps otherwise.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    thread::{self, Thread},
    time::Duration,
};

use wasmtime::{Engine, EngineWeak};

/// How long a guest computes before others on its thread get a turn, and how late a deadline may be. Half of it doubles
/// the interruptions (each some 100 ns a running guest); twice as much doubles what a spinning guest adds to the
/// latency of its neighbours.
const TICK: Duration = Duration::from_millis(2);

/// Ticks without a running guest after which the ticker sleeps. Waking it costs a system call, which calls that come
/// one after another should not pay each time.
const LINGER: u32 = 25;

/// Counts running guests and wakes the ticking thread for the first.
pub(super) struct Ticker {
    running: AtomicUsize,
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

/// While it lives, the epoch advances.
pub(super) struct Ticking<'a>(&'a Ticker);

impl Ticker {
    /// Starts the thread. It ends when the engine is gone.
    pub(super) fn start(engine: &Engine) -> io::Result<Arc<Self>> {
        let ticker =
            Arc::new(Self { running: AtomicUsize::new(0), asleep: AtomicBool::new(false), thread: OnceLock::new() });
        let (engine, shared) = (engine.weak(), Arc::downgrade(&ticker));
        let thread = thread::Builder::new().name("wapcd-ticker".to_owned()).spawn(move || {
            let mut idle = 0;
            while let Some(ticker) = shared.upgrade() {
                let Some(pause) = ticker.tick(&engine, &mut idle) else { return };
                drop(ticker);
                match pause {
                    Pause::Tick => thread::park_timeout(TICK),
                    Pause::Sleep => thread::park(),
                }
            }
        })?;
        ticker.thread.get_or_init(|| thread.thread().clone());
        Ok(ticker)
    }

    /// Tells that a guest runs until the guard is dropped.
    #[inline]
    pub(super) fn running(&self) -> Ticking<'_> {
        // Sequentially consistent on both sides: either the ticker sees the guest before it sleeps, or this sees that
        // it sleeps.
        self.running.fetch_add(1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
        Ticking(self)
    }

    /// Polls a future as a running guest.
    pub(super) fn poll<F: Future + ?Sized>(&self, future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _ticking = self.running();
        future.poll(cx)
    }

    #[cold]
    fn wake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// One turn of the thread; `None` when the engine is gone.
    fn tick(&self, engine: &EngineWeak, idle: &mut u32) -> Option<Pause> {
        engine.upgrade()?.increment_epoch();
        if self.running.load(Ordering::SeqCst) > 0 {
            *idle = 0;
            return Some(Pause::Tick);
        }
        *idle += 1;
        if *idle < LINGER {
            return Some(Pause::Tick);
        }
        self.asleep.store(true, Ordering::SeqCst);
        if self.running.load(Ordering::SeqCst) > 0 {
            self.asleep.store(false, Ordering::SeqCst);
            return Some(Pause::Tick);
        }
        *idle = 0;
        Some(Pause::Sleep)
    }
}

enum Pause {
    Tick,
    Sleep,
}

impl Drop for Ticking<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.wake();
    }
}
