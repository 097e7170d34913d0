//! Bindings that do what the operation says, and a supervisor that writes down what it hears.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use actix::{Actor, Addr, Context, Handler};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::bindings::{
    Answer, Binding, BindingActor, BindingCall, BindingCounters, BindingExited, BindingFactory, Turnstile,
    actor::{Refuse, Serve},
    testing::call,
};

/// Makes bindings that do what the operation says.
#[derive(Default)]
pub(super) struct Script {
    pub(super) made: AtomicUsize,
    /// How many of the next bindings cannot be made.
    pub(super) broken: AtomicUsize,
    /// Whether bindings panic when they are dropped.
    pub(super) bitter: AtomicBool,
    /// Futures that were dropped before they had an answer.
    pub(super) dropped: Arc<AtomicUsize>,
    /// The payloads of all calls, in their order.
    pub(super) seen: Arc<Mutex<Vec<Bytes>>>,
}

impl BindingFactory for Script {
    fn make(&self, _worker: usize) -> Box<dyn Binding> {
        self.made.fetch_add(1, SeqCst);
        if self.broken.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            panic!("no scripts today");
        }
        Box::new(Scripted {
            generation: self.made.load(SeqCst),
            bitter: self.bitter.load(SeqCst),
            dropped: Arc::clone(&self.dropped),
            seen: Arc::clone(&self.seen),
        })
    }
}

struct Scripted {
    generation: usize,
    bitter: bool,
    dropped: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Bytes>>>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        assert!(!self.bitter, "bitter end");
    }
}

struct CountDrop(Arc<AtomicUsize>, bool);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        assert!(!self.1, "bitter future");
    }
}

impl Binding for Scripted {
    fn call(&self, call: BindingCall) -> Answer {
        self.seen.lock().push(call.payload.clone());
        let generation = Bytes::from(self.generation.to_string());
        let hang = |bitter| {
            let dropped = CountDrop(Arc::clone(&self.dropped), bitter);
            Answer::Later(Box::pin(async move {
                let _dropped = dropped;
                pending().await
            }))
        };
        match call.operation.as_str() {
            "now" => Answer::Now(Ok(generation)),
            "later" => Answer::Later(Box::pin(async move {
                tokio::task::yield_now().await;
                Ok(generation)
            })),
            "much_later" => Answer::Later(Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok(generation)
            })),
            "fail" => crate::host::HostCallError::new(crate::host::HostErrorKind::NotFound, "nothing").into(),
            "panic" => panic!("broken at {}", 1),
            "panic_later" => Answer::Later(Box::pin(async {
                tokio::task::yield_now().await;
                panic!("broken later")
            })),
            "panic_at_the_end" => {
                let dropped = CountDrop(Arc::clone(&self.dropped), true);
                Answer::Later(Box::pin(std::future::poll_fn(move |_| {
                    let _held_until_the_drop = &dropped;
                    std::task::Poll::Ready(Ok(Bytes::new()))
                })))
            }
            "hang_bitterly" => hang(true),
            _ => hang(false),
        }
    }
}

/// Writes down exits, and does what the test wants after each.
pub(super) struct Supervisor {
    pub(super) exits: Arc<Mutex<Vec<BindingExited>>>,
    pub(super) order: Order,
    pub(super) factory: Arc<dyn BindingFactory>,
    pub(super) actor: Option<Addr<BindingActor>>,
}

/// What follows an exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Serve,
    Refuse,
    Nothing,
}

#[derive(actix::Message)]
#[rtype(result = "()")]
struct Watch(Addr<BindingActor>);

impl Actor for Supervisor {
    type Context = Context<Self>;
}

impl Handler<Watch> for Supervisor {
    type Result = ();

    fn handle(&mut self, Watch(actor): Watch, _: &mut Self::Context) {
        self.actor = Some(actor);
    }
}

impl Handler<BindingExited> for Supervisor {
    type Result = ();

    fn handle(&mut self, exit: BindingExited, _: &mut Self::Context) {
        self.exits.lock().push(exit);
        if let Some(actor) = &self.actor {
            match self.order {
                Order::Serve => actor.do_send(Serve {
                    backend: Arc::clone(&self.factory),
                    turnstile: crate::bindings::Turnstile::open(crate::config::BindingLimits::default()),
                }),
                Order::Refuse => actor.do_send(Refuse("enough".to_owned())),
                Order::Nothing => {}
            }
        }
    }
}

/// An actor with its surroundings.
pub(super) struct Fixture {
    pub(super) script: Arc<Script>,
    pub(super) factory: Arc<dyn BindingFactory>,
    pub(super) counters: Arc<BindingCounters>,
    pub(super) exits: Arc<Mutex<Vec<BindingExited>>>,
    pub(super) address: Addr<BindingActor>,
}

impl Fixture {
    /// An actor that holds.
    pub(super) async fn held(order: Order) -> Self {
        let script = Arc::new(Script::default());
        let factory = Arc::clone(&script) as Arc<dyn BindingFactory>;
        let counters = Arc::new(BindingCounters::new(&["now", "later", "fail", "panic", "hang"]));
        let exits = Arc::default();
        let supervisor =
            Supervisor { exits: Arc::clone(&exits), order, factory: Arc::clone(&factory), actor: None }.start();
        let address = BindingActor::new(
            3,
            "cache".into(),
            1,
            Arc::clone(&counters),
            supervisor.clone().recipient(),
            Arc::new(crate::bindings::Deaf),
        )
        .start();
        supervisor.send(Watch(address.clone())).await.unwrap();
        Self { script, factory, counters, exits, address }
    }

    /// An actor that serves.
    pub(super) async fn serving(order: Order) -> Self {
        let fixture = Self::held(order).await;
        fixture.serve().await;
        fixture
    }

    pub(super) async fn serve(&self) {
        self.address
            .send(Serve {
                backend: Arc::clone(&self.factory),
                turnstile: crate::bindings::Turnstile::open(crate::config::BindingLimits::default()),
            })
            .await
            .unwrap();
    }

    /// Serves within these limits, anew each time.
    pub(super) async fn serve_within(&self, turnstile: &Arc<Turnstile>) {
        let (backend, turnstile) = (Arc::clone(&self.factory), Arc::clone(turnstile));
        self.address.send(Serve { backend, turnstile }).await.unwrap();
    }

    pub(super) async fn send(&self, operation: &str) -> Result<String, String> {
        self.ask(call(operation, b"")).await
    }

    pub(super) async fn ask(&self, call: BindingCall) -> Result<String, String> {
        let reply = self.address.send(call).await.unwrap();
        reply.map(|reply| String::from_utf8(reply.to_vec()).unwrap()).map_err(|error| error.to_string())
    }

    /// The panics that were reported.
    pub(super) fn panics(&self) -> Vec<String> {
        self.exits.lock().iter().map(|exit| exit.panic.clone()).collect()
    }

    /// Waits until what the test wants is true.
    pub(super) async fn until(&self, what: impl Fn(&Self) -> bool) {
        for _ in 0..4000 {
            if what(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let dropped = self.script.dropped.load(SeqCst);
        panic!("still {:?}, dropped {dropped}, exits {:?}", self.counters.read(), self.exits.lock());
    }
}
