//! Which call meets which instance, as a model of many workers: nothing waits beside an idle instance, nothing starves.
#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

use actix::AsyncContext;
use proptest::prelude::*;

use super::super::{
    desk::Desk,
    inner::Idle,
    places::{PATIENCE, Places},
};
use super::*;

const WORKERS: usize = 3;

/// What happens next.
#[derive(Debug, Clone)]
enum Event {
    /// A call comes on a worker or from elsewhere.
    Comes(Option<usize>),
    /// A busy instance is free.
    Free(usize),
    Stalls(usize, bool),
    /// Microseconds go by.
    Passes(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => proptest::option::weighted(0.8, 0..WORKERS).prop_map(Event::Comes),
        5 => (0..8_usize).prop_map(Event::Free),
        1 => (0..WORKERS, any::<bool>()).prop_map(|(worker, stalled)| Event::Stalls(worker, stalled)),
        4 => (0..1500_u64).prop_map(Event::Passes),
    ];
    proptest::collection::vec(event, 1..300)
}

struct Model {
    queue: Arc<ModuleQueue>,
    places: Places,
    now: Instant,
    busy: Vec<Arc<Desk>>,
    addr: Addr<GuestActor>,
    /// The calls that wait, and when they came.
    waiting: Vec<(u64, Instant)>,
    stalled: [bool; WORKERS],
}

impl Model {
    fn new(members: &[usize]) -> Self {
        let loads = Arc::<Loads>::default();
        let mut places = Places::new(Arc::clone(&loads));
        members.iter().for_each(|worker| places.join(*worker));
        let busy = (1..).zip(members).map(|(id, worker)| Arc::new(Desk::new(id, *worker, &loads))).collect();
        let queue = queue(settings(), &Arc::new(QueueBudget::new(1 << 20)));
        let (waiting, stalled) = (Vec::new(), [false; WORKERS]);
        Self { queue, places, now: Instant::now(), busy, addr: Context::new().address(), waiting, stalled }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Comes(worker) => self.comes(worker),
            Event::Free(at) if !self.busy.is_empty() => {
                let desk = self.busy.remove(at % self.busy.len());
                self.free(desk);
            }
            Event::Free(_) => (),
            Event::Stalls(worker, stalled) => {
                self.stalled[worker] = stalled;
                self.places.set_stalled(worker, stalled);
            }
            Event::Passes(micros) => self.now += Duration::from_micros(micros),
        }
        // As the timers of the callers do, and whoever notes a stall.
        while let Some((home, idle)) = self.places.meet(self.now) {
            let call = self.places.pop(home).unwrap();
            self.taken(&call, &idle.desk);
            self.busy.push(idle.desk);
        }
    }

    fn comes(&mut self, worker: Option<usize>) {
        let call = self.queue.accept(&settings(), request("echo", "", None), self.now, None);
        let home = self.places.home(worker);
        let local = self.places.take_local(worker);
        match if home.is_some() { local } else { local.or_else(|| self.places.take_any()) } {
            Some(idle) => self.busy.push(idle.desk),
            None => {
                self.waiting.push((call.id, self.now));
                self.places.wait(home, call);
            }
        }
    }

    fn free(&mut self, desk: Arc<Desk>) {
        match self.places.next_for(desk.worker, false, self.now) {
            Some(home) => {
                let call = self.places.pop(home).unwrap();
                self.taken(&call, &desk);
                self.busy.push(desk);
            }
            None => self.places.rest(Idle { desk, addr: self.addr.clone() }),
        }
    }

    /// Nothing that is much older than a call waits while an instance takes that one.
    fn taken(&mut self, call: &QueuedCall, desk: &Desk) {
        self.waiting.retain(|(id, _)| *id != call.id);
        for (id, accepted) in &self.waiting {
            assert!(call.accepted <= *accepted + PATIENCE, "call {id} is passed over by instance {}", desk.instance);
        }
    }

    fn check(&self) {
        assert_eq!(self.places.calls(), self.waiting.len());
        let idle = self.places.idle();
        // Those on stalled workers do not count: with one that turns over idle, nothing has waited for long.
        let busy_on = |worker: usize| self.busy.iter().filter(|desk| desk.worker == worker).count();
        let turning_over = (0..WORKERS).filter(|worker| !self.stalled[*worker]);
        let turning: usize = turning_over.clone().map(|worker| members_on(worker) - busy_on(worker)).sum();
        assert!(turning <= idle);
        if turning > 0 {
            assert!(self.waiting.iter().all(|(_, accepted)| self.now < *accepted + PATIENCE));
        }
    }
}

const MEMBERS: [usize; 4] = [0, 0, 1, 2];

fn members_on(worker: usize) -> usize {
    MEMBERS.iter().filter(|member| **member == worker).count()
}

proptest! {
    #[test]
    fn no_call_starves_and_none_waits_for_long_beside_an_idle_instance(events in events()) {
        let mut model = Model::new(&MEMBERS);
        for event in events {
            model.happen(event);
            model.check();
        }
        // Whatever waits gets its turn.
        for worker in 0..WORKERS {
            model.happen(Event::Stalls(worker, false));
        }
        for _ in 0..1000 {
            model.happen(Event::Free(0));
        }
        prop_assert_eq!(model.places.calls(), 0);
    }
}
