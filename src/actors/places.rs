//! Where a module's calls wait and where its instances idle, worker by worker, and which of them meet.
//!
//! A call that comes on a worker with an instance of the module is at home there: handing it to another worker costs both
//! of them more than a small call takes. It waits in the lane of its home. Every other call waits in the common lane. An
//! instance that is free takes the call that has waited longest in its own lane and the common one, and a call of a
//! foreign lane once that has waited [`PATIENCE`] longer than those.
//!
//! So nothing starves: a call is worth its age to every instance, less `PATIENCE` at most. Whatever instance is free after
//! it has come to the head of its lane takes it or one that was accepted less than `PATIENCE` after it, and of these there
//! are finitely many; the same holds for those ahead of it in its lane. Nor does a call wait while an instance idles: not
//! at all in its own or the common lane, and in a foreign one for `PATIENCE` only, after which its caller looks.
//!
//! A lane whose worker stalls or has no instance any more is as good as common: nobody is patient for it.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    QueuedCall,
    crossings::patience,
    inner::Idle,
    load::{Load, Loads},
};

/// How long a call waits for an instance of its own worker before it goes to any.
///
/// Two threads cost it 10 to 50 µs, ten times a small call and little beside this. Half of it would not be kept, since
/// timers count milliseconds; with twice as much, a neighbour that idles helps visibly late.
pub(super) const PATIENCE: Duration = Duration::from_millis(1);

/// Where a call waits: the worker it is at home on, or none.
pub(super) type Home = Option<usize>;

pub(super) struct Places {
    loads: Arc<Loads>,
    /// By the index of the worker.
    workers: Vec<Place>,
    common: VecDeque<QueuedCall>,
    /// Calls in all lanes.
    calls: usize,
    /// Instances in all places.
    idle: usize,
    /// Live instances, busy ones included.
    members: usize,
    /// Where the search for the least loaded worker begins: of equals, each gets its turn.
    turn: usize,
}

/// What a module has on one worker.
struct Place {
    lane: VecDeque<QueuedCall>,
    /// The one that was busy last, whose memory is warm, at the end.
    idle: Vec<Idle>,
    members: usize,
    /// Whether the worker does not turn over: nearly never.
    stalled: bool,
    load: Arc<Load>,
}

impl Place {
    /// Whether a call of this lane has nobody here to be patient for.
    fn is_open(&self) -> bool {
        self.stalled || self.members == 0
    }

    fn can_take(&self) -> bool {
        !self.stalled && !self.idle.is_empty()
    }
}

impl Places {
    /// Places on workers with these loads.
    pub(super) fn new(loads: Arc<Loads>) -> Self {
        Self { loads, workers: Vec::new(), common: VecDeque::new(), calls: 0, idle: 0, members: 0, turn: 0 }
    }

    /// Calls that wait.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// Instances that wait for a call.
    pub(super) fn idle(&self) -> usize {
        self.idle
    }

    fn place(&mut self, worker: usize) -> Option<&mut Place> {
        while self.workers.len() <= worker {
            let load = self.loads.of(self.workers.len());
            let place = Place { lane: VecDeque::new(), idle: Vec::new(), members: 0, stalled: false, load };
            self.workers.push(place);
        }
        self.workers.get_mut(worker)
    }

    /// Counts a live instance on the worker.
    pub(super) fn join(&mut self, worker: usize) {
        self.members += 1;
        self.place(worker).into_iter().for_each(|place| place.members += 1);
    }

    /// Counts one that is gone.
    pub(super) fn part(&mut self, worker: usize) {
        self.members -= 1;
        self.place(worker).into_iter().for_each(|place| place.members -= 1);
    }

    /// Notes whether the worker does not turn over; `false` where that is no news.
    pub(super) fn set_stalled(&mut self, worker: usize, stalled: bool) -> bool {
        self.place(worker).is_some_and(|place| std::mem::replace(&mut place.stalled, stalled) != stalled)
    }

    /// Whether the worker does not turn over.
    pub(super) fn is_stalled(&self, worker: usize) -> bool {
        self.workers.get(worker).is_some_and(|place| place.stalled)
    }

    /// Where a call waits that comes on that worker: at home where others of the module's instances are elsewhere.
    pub(super) fn home(&self, worker: Option<usize>) -> Home {
        let at_home = |place: &Place| !place.is_open() && place.members < self.members;
        worker.filter(|worker| self.workers.get(*worker).is_some_and(at_home))
    }

    /// An instance becomes idle.
    pub(super) fn rest(&mut self, idle: Idle) {
        if let Some(place) = self.place(idle.desk.worker) {
            place.idle.push(idle);
            self.idle += 1;
        }
    }

    /// Takes an idle instance out by its id; `false` where it is not idle.
    pub(super) fn retire(&mut self, worker: usize, instance: u64) -> bool {
        let Some(place) = self.workers.get_mut(worker) else { return false };
        let at = place.idle.iter().position(|idle| idle.desk.instance == instance);
        let retired = at.map(|at| place.idle.remove(at)).is_some();
        self.idle -= usize::from(retired);
        retired
    }

    /// Takes the instance on that worker that was busy last.
    pub(super) fn take_local(&mut self, worker: Option<usize>) -> Option<Idle> {
        let place = self.workers.get_mut(worker?).filter(|place| !place.stalled)?;
        let idle = place.idle.pop()?;
        self.idle -= 1;
        Some(idle)
    }

    /// Takes an instance on the least loaded worker that has one.
    pub(super) fn take_any(&mut self) -> Option<Idle> {
        if self.idle == 0 {
            return None;
        }
        let (before, after) = self.workers.split_at_checked(self.turn)?;
        let first = self.turn;
        let indexed = (first..).zip(after).chain((0..).zip(before));
        let least = indexed.filter(|(_, place)| place.can_take()).min_by_key(|(_, place)| place.load.calls());
        let worker = least.map(|(worker, _)| worker)?;
        self.turn = (worker + 1) % self.workers.len();
        self.take_local(Some(worker))
    }

    /// Lets a call wait behind those that came before.
    pub(super) fn wait(&mut self, home: Home, call: QueuedCall) {
        if let Some(lane) = self.lane(home) {
            lane.push_back(call);
            self.calls += 1;
        }
    }

    /// Lets a call wait that was accepted before those that came meanwhile.
    pub(super) fn wait_first(&mut self, call: QueuedCall) {
        self.common.push_front(call);
        self.calls += 1;
    }

    fn lane(&mut self, home: Home) -> Option<&mut VecDeque<QueuedCall>> {
        match home {
            Some(worker) => self.place(worker).map(|place| &mut place.lane),
            None => Some(&mut self.common),
        }
    }

    /// The lane whose head an instance on that worker takes next. One that is `leaving` is patient for nobody: what waits
    /// when it has gone may find none.
    pub(super) fn next_for(&self, worker: usize, leaving: bool, now: Instant) -> Option<Home> {
        self.due(now, |lane, place| leaving || lane == worker || place.is_open())
    }

    /// The lane whose head some idle instance takes now, and that instance, which is not idle any more.
    pub(super) fn meet(&mut self, now: Instant) -> Option<(Home, Idle)> {
        if self.idle == 0 {
            return None;
        }
        let home = self.due(now, |_, place| place.can_take() || place.is_open())?;
        let idle = self.take_local(home).or_else(|| self.take_any())?;
        Some((home, idle))
    }

    /// The lane whose head has waited longest, where those that are not served `at_once` have waited `PATIENCE` less.
    fn due(&self, now: Instant, at_once: impl Fn(usize, &Place) -> bool) -> Option<Home> {
        if self.calls == 0 {
            return None;
        }
        let common = self.common.front().map(|call| (call.accepted, None));
        let lanes = self.workers.iter().enumerate().filter_map(|(worker, place)| {
            let accepted = place.lane.front()?.accepted;
            let patience = if at_once(worker, place) { Duration::ZERO } else { patience() };
            let due = accepted + patience;
            (patience.is_zero() || due <= now).then_some((due, Some(worker)))
        });
        common.into_iter().chain(lanes).min_by_key(|(due, _)| *due).map(|(_, home)| home)
    }

    /// Takes the first call of a lane.
    pub(super) fn pop(&mut self, home: Home) -> Option<QueuedCall> {
        let call = self.lane(home)?.pop_front()?;
        self.calls -= 1;
        Some(call)
    }

    /// Takes one call, wherever it waits.
    pub(super) fn withdraw(&mut self, id: u64) -> Option<QueuedCall> {
        let lanes = std::iter::once(&mut self.common).chain(self.workers.iter_mut().map(|place| &mut place.lane));
        for lane in lanes {
            if let Some(at) = lane.iter().position(|call| call.id == id) {
                self.calls -= 1;
                return lane.remove(at);
            }
        }
        None
    }

    /// Takes all calls that look so, in the order of their lanes.
    pub(super) fn take_all(&mut self, wanted: impl Fn(&QueuedCall) -> bool) -> Vec<QueuedCall> {
        let mut taken = Vec::new();
        let lanes = std::iter::once(&mut self.common).chain(self.workers.iter_mut().map(|place| &mut place.lane));
        for lane in lanes.filter(|lane| lane.iter().any(&wanted)) {
            let (out, rest): (Vec<_>, _) = std::mem::take(lane).into_iter().partition(&wanted);
            *lane = VecDeque::from(rest);
            taken.extend(out);
        }
        self.calls -= taken.len();
        taken
    }
}
