//! A guest and the actor of a binding on the same thread.

use std::{
    pin::pin,
    task::{Context as Look, Poll, Waker},
};

use super::{
    links::{TWICE, link},
    *,
};
use crate::{
    bindings::{
        Answer, Binding, BindingActor, BindingCall, BindingCounters, BindingExited, BindingFactory, Deaf, Serve,
        Turnstile,
    },
    config::BindingLimits,
};

/// A binding that knows its answer.
struct Here;

impl BindingFactory for Here {
    fn make(&self, _worker: usize) -> Box<dyn Binding> {
        Box::new(Self)
    }
}

impl Binding for Here {
    fn call(&self, _: BindingCall) -> Answer {
        Answer::Now(Ok(Bytes::from_static(b"here")))
    }
}

/// A supervisor that has nothing to say.
struct Silent;

impl Actor for Silent {
    type Context = Context<Self>;
}

impl Handler<BindingExited> for Silent {
    type Result = ();

    fn handle(&mut self, _: BindingExited, _: &mut Context<Self>) {}
}

#[actix::test]
async fn a_guest_is_answered_by_a_binding_of_its_thread_while_the_actor_has_no_turn_to_find_a_message() {
    let (counters, supervisor) = (Arc::new(BindingCounters::new(&["b"])), Silent.start().recipient());
    let actor = BindingActor::new(0, "it".into(), 0, counters, supervisor, Arc::new(Deaf)).start();
    let turnstile = Turnstile::open(BindingLimits::default());
    actor.send(Serve { backend: Arc::new(Here), turnstile }).await.unwrap();
    let links = Links::new([(link(None), actor.recipient())], "twice".into(), 1, 1, Arc::new(Deaf));
    links.begin_start(Instant::now() + SOON);
    let settings = EngineSettings { instances: 1, ..EngineSettings::default() };
    let module = WasmtimeEngine::new(settings).unwrap().compile(&wat::parse_str(TWICE).unwrap()).unwrap();
    let provider = Box::new(module.provider(WasiParams::default()));
    let mut host = WapcHostAsync::new(provider, Some(links.callback())).await.unwrap();

    let mut call = pin!(host.call("any", ""));
    let start = Instant::now();
    // Nothing else on this thread has a turn until it is over. A guest may need several looks: one that was off its core for
    // a while gives way.
    let outcome = loop {
        if let Poll::Ready(outcome) = call.as_mut().poll(&mut Look::from_waker(Waker::noop())) {
            break outcome;
        }
        assert!(start.elapsed() < SOON, "it waits for a turn of the actor");
    };
    assert_eq!(outcome.unwrap(), "here");
}
