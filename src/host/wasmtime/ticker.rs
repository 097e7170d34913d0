//! The clock that interrupts guests: a thread that advances the engine's epoch while guests run, and sleeps otherwise.
//!
//! A call costs one load of a flag that is mostly up already, and never writes what other threads write. Whoever lets a
//! guest run raises the flag, each tick lowers it, and each interruption of a guest raises it again; the ticker sleeps
//! after many ticks without it. So the flag of a guest that computes is up at every tick but the first. A guest inside
//! of the host is not interrupted and may be forgotten; when its host call is answered, its next interruption is set and
//! the flag raised as at the beginning of a call. Where it comes back in another way, as from a sleep, ticks have passed
//! since its interruption was set, and it is interrupted as soon as it computes again.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use wasmtime::{Engine, EngineWeak};

use crate::host::turns::SLICE;

/// Two interruptions of a guest are a slice apart.
const TICK: Duration = SLICE;

/// Ticks without a running guest after which the ticker sleeps. Waking it costs a system call, which calls that come
/// one after another should not pay each time. It is also how long a thread may be off its core between raising the
/// flag and setting its guest's next interruption.
const LINGER: u32 = 25;

/// How long the ticker sleeps at most: one tick then finds a guest whose thread was off its core for longer than that.
/// Once a second is no load, and no deadline is ever missed by more.
const SLEEP: Duration = Duration::from_secs(1);

/// The flag: a guest ran since the last tick.
const BUSY: u8 = 2;
/// The flag: none was seen since the last tick.
const QUIET: u8 = 1;
/// The flag: the thread sleeps; whoever raises it wakes the thread.
const ASLEEP: u8 = 0;

/// Knows whether guests run, and wakes the ticking thread for the first.
pub(super) struct Ticker {
    activity: AtomicU8,
    thread: OnceLock<Thread>,
}

impl Ticker {
    /// Starts the thread. It ends when the engine is gone.
    pub(super) fn start(engine: &Engine) -> io::Result<Arc<Self>> {
        let ticker = Arc::new(Self { activity: AtomicU8::new(QUIET), thread: OnceLock::new() });
        let (engine, shared) = (engine.weak(), Arc::downgrade(&ticker));
        let thread = thread::Builder::new().name("wapcd-ticker".to_owned()).spawn(move || {
            let mut idle = 0;
            while let Some(ticker) = shared.upgrade() {
                let Some(pause) = ticker.tick(&engine, &mut idle) else { return };
                drop(ticker);
                thread::park_timeout(pause);
            }
        })?;
        ticker.thread.get_or_init(|| thread.thread().clone());
        Ok(ticker)
    }

    /// Raises the flag: a guest computes. A load that is late by some nanoseconds does no harm, since the flag that it
    /// saw was up a moment ago.
    #[inline]
    pub(super) fn touch(&self) {
        if self.activity.load(Ordering::Relaxed) != BUSY {
            self.raise();
        }
    }

    #[cold]
    fn raise(&self) {
        if self.activity.swap(BUSY, Ordering::SeqCst) == ASLEEP {
            self.unpark();
        }
    }

    fn unpark(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// One turn of the thread: how long to pause after it, `None` when the engine is gone. `idle` counts the ticks without
    /// a guest.
    fn tick(&self, engine: &EngineWeak, idle: &mut u32) -> Option<Duration> {
        engine.upgrade()?.increment_epoch();
        if self.activity.swap(QUIET, Ordering::SeqCst) == BUSY {
            *idle = 0;
            return Some(TICK);
        }
        *idle = LINGER.min(*idle + 1);
        if *idle < LINGER {
            return Some(TICK);
        }
        // Fails when someone raised the flag meanwhile; whoever raises it from now on wakes the thread.
        match self.activity.compare_exchange(QUIET, ASLEEP, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => Some(SLEEP),
            Err(_) => Some(TICK),
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.unpark();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
    #![allow(clippy::disallowed_methods, reason = "callbacks that block their thread are what is tested")]

    use super::*;
    use crate::host::{
        CallError, EngineSettings, GuestExit, HostOptions, Limits, WapcHost, WapcHostAsync, WasmtimeEngine,
    };

    /// Calls the host once and spins ever after.
    const SPINS_AFTER_A_HOST_CALL: &str = r#"(module
        (import "wapc" "__host_call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "__guest_call") (param i32 i32) (result i32)
            i32.const 0 i32.const 0 i32.const 0 i32.const 0 i32.const 0 i32.const 0 i32.const 0 i32.const 0
            call $call drop
            (loop (br 0)) unreachable))"#;

    fn ticker() -> Ticker {
        Ticker { activity: AtomicU8::new(QUIET), thread: OnceLock::new() }
    }

    /// Ticks until the ticker would sleep.
    fn ticks_until_sleep(ticker: &Ticker, engine: &Engine, idle: &mut u32) -> u32 {
        let (engine, mut ticks) = (engine.weak(), 1);
        while ticker.tick(&engine, idle).unwrap() == TICK {
            ticks += 1;
            assert!(ticks < 1_000, "never sleeps");
        }
        ticks
    }

    #[test]
    fn sleeps_only_when_no_guest_ran_for_a_while() {
        let (ticker, engine, mut idle) = (ticker(), Engine::default(), 0);
        assert_eq!(ticks_until_sleep(&ticker, &engine, &mut idle), LINGER);
        assert_eq!(ticker.activity.load(Ordering::SeqCst), ASLEEP);
        assert_eq!(ticks_until_sleep(&ticker, &engine, &mut idle), 1, "a look in between does not keep it awake");
        ticker.touch();
        assert_eq!(ticker.activity.load(Ordering::SeqCst), BUSY, "a guest wakes it");
        let ticks = ticks_until_sleep(&ticker, &engine, &mut idle);
        assert_eq!(ticks, LINGER + 1, "the tick that sees the guest does not count");
    }

    #[test]
    fn ends_with_its_engine() {
        let (ticker, engine) = (ticker(), Engine::default());
        let weak = engine.weak();
        drop(engine);
        assert!(ticker.tick(&weak, &mut 0).is_none());
    }

    /// Long enough for the ticker to fall asleep beneath a guest that is inside of the host.
    const LONG_HOST_CALL: Duration = Duration::from_millis(3 * TICK.as_millis() as u64 * LINGER as u64);

    fn limits() -> HostOptions {
        let deadline = Some(LONG_HOST_CALL + Duration::from_millis(50));
        HostOptions { limits: Limits { deadline, ..Limits::default() }, ..HostOptions::default() }
    }

    /// A call that a busy machine holds up tells nothing; what only a look in between finds is late each time.
    const TRIES: u32 = 20;

    /// Whether a guest that spins was ended when its time was over.
    fn is_in_time(returned: Result<bytes::Bytes, CallError>) -> bool {
        let Err(CallError::Exit(GuestExit::DeadlineExceeded { limit, elapsed, in_host_call })) = returned else {
            panic!("ended in {returned:?}");
        };
        !in_host_call && elapsed < limit + SLEEP / 2
    }

    #[test]
    fn a_guest_that_spins_after_a_long_stay_in_a_plain_callback_is_ended_at_its_deadline() {
        let engine = WasmtimeEngine::new(EngineSettings::default()).unwrap();
        let module = engine.compile(&wat::parse_str(SPINS_AFTER_A_HOST_CALL).unwrap()).unwrap();
        let callback = Box::new(|_: u64, _: &str, _: &str, _: &str, _: &[u8]| {
            thread::sleep(LONG_HOST_CALL);
            Ok(bytes::Bytes::new())
        });
        let provider = Box::new(module.provider(Default::default()));
        let mut host = WapcHost::with_options(provider, Some(callback), limits()).unwrap();
        assert!((0..TRIES).any(|_| is_in_time(host.call("spin", ""))), "only a look in between found it");
    }

    #[tokio::test]
    async fn a_guest_that_spins_after_a_callback_that_blocked_its_thread_is_ended_at_its_deadline() {
        let engine = WasmtimeEngine::new(EngineSettings::default()).unwrap();
        let module = engine.compile(&wat::parse_str(SPINS_AFTER_A_HOST_CALL).unwrap()).unwrap();
        let callback: Box<crate::host::HostCallbackAsync> = Box::new(|_, _| {
            Box::pin(async {
                thread::sleep(LONG_HOST_CALL);
                Ok(bytes::Bytes::new())
            })
        });
        let provider = Box::new(module.provider(Default::default()));
        let mut host = WapcHostAsync::with_options(provider, Some(callback), limits()).await.unwrap();
        for _ in 0..TRIES {
            if is_in_time(host.call("spin", "").await) {
                return;
            }
        }
        panic!("only a look in between found it");
    }
}
