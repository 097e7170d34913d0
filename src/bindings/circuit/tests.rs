//! A circuit before a server that does what the test says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures_util::future::join_all;

use super::*;
use crate::{
    bindings::{Denial, Io},
    config::Backoff,
};

/// What comes of asking the server.
#[derive(Clone, Copy)]
enum Say {
    Well,
    Down,
    DownAfter(u64),
    WellAfter(u64),
    Hang,
    Panic,
    PanicAtOnce,
}

struct Server {
    circuit: Circuit,
    say: Arc<Mutex<Say>>,
    asked: Arc<AtomicUsize>,
    changes: Arc<Changes>,
    _io: Io,
}

#[derive(Default)]
struct Changes(Mutex<Vec<BackendState>>);

impl Observer for Changes {
    fn backend_changed(&self, _: &Arc<str>, now: &BackendStatus) {
        self.0.lock().push(now.state);
    }

    fn module_removed(&self, _: &str) {}

    fn denied(&self, _: Denial<'_>) {}
}

async fn answer(say: Say) -> Result<(), BoxError> {
    match say {
        Say::Well => {}
        Say::Down => return Err("it is down".into()),
        Say::DownAfter(millis) => {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            return Err("it is down".into());
        }
        Say::WellAfter(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
        Say::Hang => std::future::pending().await,
        Say::Panic | Say::PanicAtOnce => panic!("what a question"),
    }
    Ok(())
}

/// A circuit that opens after three failures in a row and tries every 5 ms.
fn server(say: Say) -> Server {
    let (say, asked) = (Arc::new(Mutex::new(say)), Arc::new(AtomicUsize::new(0)));
    let (said, count) = (Arc::clone(&say), Arc::clone(&asked));
    let probe: Probe = Arc::new(move || {
        count.fetch_add(1, SeqCst);
        let say = *said.lock();
        assert!(!matches!(say, Say::PanicAtOnce), "what a question");
        Box::pin(answer(say))
    });
    let wait = Duration::from_millis(5);
    let settings = Settings { failures: 3, backoff: Backoff { initial: wait, max: wait, factor: 1.0, jitter: 0.0 } };
    let (io, changes) = (Io::default(), Arc::new(Changes::default()));
    let observer = Arc::clone(&changes) as Arc<dyn Observer>;
    let patience = Duration::from_secs(3);
    let circuit = Circuit::new("db".into(), settings, patience, observer, io.handle().unwrap(), probe);
    Server { circuit, say, asked, changes, _io: io }
}

impl Server {
    async fn until(&self, state: BackendState) {
        for _ in 0..8000 {
            if self.circuit.status().state == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it does not become {}: {:?}", state.as_str(), self.circuit.status());
    }

    async fn well(&self) -> Result<(), String> {
        self.circuit.run(async { Ok(()) }).await.map_err(|error| error.to_string())
    }

    async fn failing(&self) {
        let error = self.circuit.run::<()>(async { Err(Failure::Server("broken pipe".into())) }).await.unwrap_err();
        assert_eq!(error.kind, HostErrorKind::Unavailable);
    }

    async fn until_asked(&self, times: usize) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.asked() < times {
            assert!(Instant::now() < end, "asked {} times", self.asked());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    fn changes(&self) -> Vec<BackendState> {
        self.changes.0.lock().clone()
    }
}

#[actix::test]
async fn calls_wait_for_what_comes_of_the_first_try() {
    let server = server(Say::WellAfter(500));
    assert_eq!(server.circuit.status().state, BackendState::Connecting);
    let outcomes = join_all((0..50).map(|_| server.well())).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!((server.asked(), server.changes()), (1, vec![BackendState::Connected]));
}

#[actix::test]
async fn calls_that_waited_for_a_server_that_is_down_are_told_so_and_it_heals() {
    let server = server(Say::DownAfter(20));
    let outcomes = join_all((0..50).map(|_| server.well())).await;
    let expected = "unavailable: the server of binding `db` is down: it is down";
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap_err() == expected), "{outcomes:?}");
    *server.say.lock() = Say::Well;
    server.until(BackendState::Connected).await;
    assert_eq!(server.well().await, Ok(()));
    assert_eq!(server.changes(), [BackendState::Disconnected, BackendState::Connected]);
}

#[actix::test]
async fn failures_in_a_row_let_the_server_be_asked_and_its_answer_decides() {
    let server = server(Say::Well);
    server.until(BackendState::Connected).await;
    for _ in 0..10 {
        server.failing().await;
        server.failing().await;
        server.well().await.unwrap();
    }
    assert_eq!(server.asked(), 1);
    let refused = server.circuit.run::<()>(async { Err(HostCallError::new(HostErrorKind::NotFound, "no").into()) });
    server.failing().await;
    server.failing().await;
    assert_eq!(refused.await.unwrap_err().kind, HostErrorKind::NotFound);
    server.failing().await;
    assert_eq!((server.asked(), server.circuit.status().state), (1, BackendState::Connected));

    *server.say.lock() = Say::Down;
    server.failing().await;
    server.failing().await;
    server.until(BackendState::Disconnected).await;
    let is_run = std::cell::Cell::new(false);
    let refused = server.circuit.run(async {
        is_run.set(true);
        Ok(())
    });
    assert_eq!((refused.await.unwrap_err().kind, is_run.get()), (HostErrorKind::Unavailable, false));
    *server.say.lock() = Say::Well;
    server.until(BackendState::Connected).await;
}

#[actix::test]
async fn calls_that_nobody_waits_for_any_longer_count_and_cannot_disconnect_a_server_that_is_well() {
    let server = server(Say::Well);
    server.until(BackendState::Connected).await;
    let hang = || server.circuit.run::<()>(std::future::pending());
    for _ in 0..3 {
        assert!(tokio::time::timeout(Duration::from_millis(2), hang()).await.is_err());
    }
    server.until_asked(2).await;
    assert_eq!((server.asked(), server.changes()), (2, vec![BackendState::Connected]));
    *server.say.lock() = Say::Hang;
    // The answer that it is well may still be on its way, and those that hang before it comes do not count.
    let end = Instant::now() + Duration::from_secs(20);
    while server.circuit.status().state != BackendState::Disconnected {
        assert!(Instant::now() < end, "asked {} times", server.asked());
        tokio::time::timeout(Duration::from_millis(2), hang()).await.ok();
    }
    // It was well a moment ago: the first try is given less time than any other.
    let why = server.circuit.status().why.unwrap();
    assert!(["no answer within 1000 ms", "no answer within 3000 ms"].contains(&&*why), "{why}");
}

#[actix::test]
async fn a_crowd_of_failures_asks_the_server_once() {
    let server = server(Say::Well);
    server.until(BackendState::Connected).await;
    // Longer than all of this takes, and shorter than the circuit is patient with a server that was well.
    *server.say.lock() = Say::WellAfter(700);
    for _ in 0..100 {
        server.failing().await;
        server.circuit.lost(&"the connection is gone");
    }
    server.until_asked(2).await;
    assert_eq!((server.asked(), server.changes()), (2, vec![BackendState::Connected]));
    // It is asked again when there is a new reason, once the last answer is there.
    while server.asked() == 2 {
        server.circuit.lost(&"the connection is gone");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((server.asked(), server.changes()), (3, vec![BackendState::Connected]));
}

#[actix::test]
async fn a_question_that_hangs_or_panics_is_a_failed_try() {
    for (say, why) in [
        (Say::Hang, "no answer within 3000 ms"),
        (Say::Panic, "asking it panicked: what a question"),
        (Say::PanicAtOnce, "asking it panicked: what a question"),
    ] {
        let server = server(say);
        let error = tokio::time::timeout(Duration::from_secs(20), server.well()).await.unwrap().unwrap_err();
        assert_eq!(error, format!("unavailable: the server of binding `db` is down: {why}"));
        assert!(server.circuit.status().next_try.is_some());
        if !matches!(say, Say::Hang) {
            assert!(server.circuit.check().await.unwrap_err().contains("what a question"));
        }
        *server.say.lock() = Say::Well;
        server.until(BackendState::Connected).await;
        assert_eq!(server.circuit.check().await, Ok(()));
    }
}

#[actix::test]
async fn nobody_is_asked_when_the_last_clone_is_gone() {
    let Server { circuit, asked, _io, .. } = server(Say::Down);
    let other = circuit.clone();
    drop(circuit);
    while asked.load(SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(other);
    // The question, which counts, is gone as well.
    let end = Instant::now() + Duration::from_secs(20);
    while Arc::strong_count(&asked) > 1 {
        assert!(Instant::now() < end, "asked {} times", asked.load(SeqCst));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[actix::test]
async fn a_question_that_hangs_ends_with_the_circuit() {
    struct Told(std::sync::mpsc::Sender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send(()).ok();
        }
    }
    let (ended, heard) = std::sync::mpsc::channel();
    let io = Io::default();
    let probe: Probe = Arc::new(move || {
        let told = Told(ended.clone());
        Box::pin(async move {
            let _told = told;
            std::future::pending().await
        })
    });
    let (patience, observer) = (Duration::from_secs(600), Arc::new(Changes::default()));
    let circuit = Circuit::new("db".into(), Settings::default(), patience, observer, io.handle().unwrap(), probe);
    let other = circuit.clone();
    drop(circuit);
    assert!(heard.recv_timeout(Duration::from_millis(50)).is_err());
    drop(other);
    heard.recv_timeout(Duration::from_secs(20)).unwrap();
}
