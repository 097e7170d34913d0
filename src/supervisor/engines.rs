//! Room for instances: the engine that is sized at the start, and further ones for children that come later.
//!
//! The pool of an engine is fixed when it is made, so room beyond it means a further engine. A module has its room on one
//! engine, because code runs only on the engine that compiled it. What all engines take together stays under what the
//! kernel allows: more is refused, and nothing changes.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use crate::{
    config::Module,
    host::{EngineError, EngineSettings, WasmtimeEngine, WeakEngine},
};

/// Instances of a further engine at least. Each engine has a thread and compiles for itself, so one for each module that
/// is dropped would be many; a pool takes two mappings and some bytes for each place that stays empty.
const FURTHER: u32 = 32;

/// Instances for which a module has room: its own, and one that starts in another's place.
pub(super) fn instances_of(module: &Module, workers: usize) -> u32 {
    u32::try_from(module.instances.count(workers) + 1).unwrap_or(u32::MAX)
}

/// The engines of a daemon.
#[derive(Debug)]
pub(super) struct Engines {
    /// There for as long as this is; all others only while somebody uses them.
    _first: WasmtimeEngine,
    settings: EngineSettings,
    /// The first is the first engine's.
    places: Vec<Place>,
}

impl Engines {
    /// Makes the first engine. Further ones differ from it in nothing but the number of their instances.
    ///
    /// # Errors
    /// [`EngineError`] of the first engine.
    pub(super) fn new(first: EngineSettings) -> Result<Self, EngineError> {
        let engine = WasmtimeEngine::new(first.clone())?;
        Ok(Self { places: vec![Place::new(&engine)], _first: engine, settings: first })
    }

    /// The engine that was made at the start.
    #[cfg(test)]
    pub(super) fn first(&self) -> &WasmtimeEngine {
        &self._first
    }

    /// Reserves room for so many instances, replacements that start beside the old ones counted too: on the oldest engine
    /// that has it, else on a further one, which is made for it.
    ///
    /// # Errors
    /// [`EngineError::TooManyMappings`] when the kernel would not bear so many instances; nothing is reserved then.
    pub(super) fn room(&mut self, instances: u32) -> Result<Room, EngineError> {
        self.places.retain(|place| place.engine.upgrade().is_some());
        match self.places.iter().find_map(|place| place.room(instances)) {
            Some(room) => Ok(room),
            None => self.extend(instances),
        }
    }

    /// Room for so many instances on a further engine.
    fn extend(&mut self, instances: u32) -> Result<Room, EngineError> {
        let others: Vec<_> = self.places.iter().filter_map(|place| place.engine.upgrade()).collect();
        let make = |instances| WasmtimeEngine::beside(EngineSettings { instances, ..self.settings.clone() }, &others);
        let engine = match make(instances.max(FURTHER)) {
            // Where not even the smallest engine fits, these few still may.
            Err(EngineError::TooManyMappings(_)) if instances < FURTHER => make(instances)?,
            made => made?,
        };
        tracing::info!(instances = engine.settings().instances, "made a further engine");
        let place = Place::new(&engine);
        let taken = Arc::clone(&place.taken);
        taken.store(instances, Ordering::Relaxed);
        self.places.push(place);
        Ok(Room { engine, taken, instances })
    }
}

/// One engine, and how much of it is taken.
#[derive(Debug)]
struct Place {
    engine: WeakEngine,
    taken: Arc<AtomicU32>,
}

impl Place {
    fn new(engine: &WasmtimeEngine) -> Self {
        Self { engine: engine.downgrade(), taken: Arc::default() }
    }

    fn room(&self, instances: u32) -> Option<Room> {
        let engine = self.engine.upgrade()?;
        let taken = Arc::clone(&self.taken);
        // Only a room that was taken may be made: dropping one gives it back.
        change(&taken, &engine, 0, instances).then(|| Room { engine, taken, instances })
    }
}

/// Makes so many taken places of an engine into so many others; `false` where it has not so many free.
fn change(taken: &AtomicU32, engine: &WasmtimeEngine, from: u32, to: u32) -> bool {
    let limit = engine.settings().instances;
    let changed = |taken: u32| taken.checked_sub(from)?.checked_add(to).filter(|taken| *taken <= limit);
    taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed).is_ok()
}

/// A module's room on an engine, given back when this is dropped: after the last of the instances that live in it.
#[derive(Debug)]
pub(super) struct Room {
    engine: WasmtimeEngine,
    taken: Arc<AtomicU32>,
    instances: u32,
}

impl Room {
    /// The engine that has the room. What runs here must be compiled by it.
    pub(super) fn engine(&self) -> &WasmtimeEngine {
        &self.engine
    }

    /// How many instances have room.
    pub(super) fn instances(&self) -> u32 {
        self.instances
    }

    /// Makes it smaller or larger where it is; `false` where its engine has not so much free, and nothing has changed.
    ///
    /// Then the module moves: [`Engines::room`] for the new number, its code compiled by that engine, its instances
    /// replaced as in a swap, and this one dropped after the last of the old ones.
    #[must_use]
    pub(super) fn resize(&mut self, instances: u32) -> bool {
        let resized = change(&self.taken, &self.engine, self.instances, instances);
        if resized {
            self.instances = instances;
        }
        resized
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.instances, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

    use std::num::NonZeroU64;

    use super::*;
    use crate::host::{CompiledModule, MappingLimit, TooManyMappings, WapcHost, WasiParams};

    /// Mappings that are planned for an instance.
    const EACH: u64 = 6;

    /// Engines whose first has so many instances, and which have mappings for so many together.
    fn engines(first: u32, together: u64) -> Engines {
        let mappings = MappingLimit::Fixed(NonZeroU64::new(together * EACH).unwrap());
        Engines::new(EngineSettings { instances: first, mappings, ..EngineSettings::default() }).unwrap()
    }

    fn refusal(room: Result<Room, EngineError>) -> TooManyMappings {
        match room {
            Err(EngineError::TooManyMappings(error)) => error,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    fn compile(engine: &WasmtimeEngine) -> CompiledModule {
        let text = r#"(module (memory (export "memory") 1)
            (func (export "__guest_call") (param i32 i32) (result i32) (i32.const 1)))"#;
        engine.compile(&wat::parse_str(text).unwrap()).unwrap()
    }

    #[test]
    fn the_first_engine_is_filled_before_another_is_made() {
        let mut engines = engines(10, 100);
        let rooms = [6, 4].map(|instances| engines.room(instances).unwrap());
        assert!(rooms.iter().all(|room| room.engine().is(engines.first())));
        let further = engines.room(1).unwrap();
        assert!(!further.engine().is(engines.first()));
        assert_eq!((further.instances(), further.engine().settings().instances), (1, FURTHER));
        let beside = engines.room(FURTHER - 1).unwrap();
        assert!(beside.engine().is(further.engine()), "the rest of the further engine is used");
    }

    #[test]
    fn a_room_is_given_back() {
        let mut engines = engines(10, 100);
        let room = engines.room(8).unwrap();
        assert!(!engines.room(3).unwrap().engine().is(engines.first()));
        drop(room);
        assert!(engines.room(10).unwrap().engine().is(engines.first()));
        assert!(engines.room(0).unwrap().engine().is(engines.first()));
    }

    #[test]
    fn a_further_engine_is_as_large_as_what_it_is_made_for_and_differs_in_nothing_else() {
        let mut engines = engines(2, 200);
        let room = engines.room(100).unwrap();
        assert_eq!(room.engine().settings(), &EngineSettings { instances: 100, ..engines.settings.clone() });
    }

    #[test]
    fn all_engines_together_stay_within_the_mappings() {
        let mut engines = engines(10, 60);
        let further = engines.room(40).unwrap();
        let error = refusal(engines.room(11));
        assert_eq!((error.instances, error.needed, error.usable), (11, 11 * EACH, 10 * EACH));
        assert!(error.to_string().contains("vm.max_map_count"), "{error}");
        let few = engines.room(10).unwrap();
        assert!(few.engine().is(engines.first()));
        // The smallest further engine would not fit any more, but one for these does.
        let rest = engines.room(10).unwrap();
        assert_eq!(rest.engine().settings().instances, 10);
        assert_eq!(refusal(engines.room(1)).usable, 0);
        drop((further, rest));
        assert_eq!(engines.room(50).unwrap().instances(), 50, "the mappings of engines that are gone are free again");
    }

    #[test]
    fn a_refusal_leaves_everything_as_it_was() {
        let mut engines = engines(10, 20);
        let room = engines.room(9).unwrap();
        for _ in 0..3 {
            refusal(engines.room(11));
        }
        assert_eq!(engines.room(1).unwrap().instances(), 1);
        assert_eq!(room.instances(), 9);
    }

    #[test]
    fn a_further_engine_lives_as_long_as_a_room_or_code_of_it() {
        let mut engines = engines(1, 100);
        let room = engines.room(2).unwrap();
        let weak = room.engine().downgrade();
        let code = compile(room.engine());
        drop(room);
        let again = engines.room(2).unwrap();
        assert!(again.engine().is(code.engine()), "an engine whose code is kept is used again");
        drop(again);
        assert_eq!(refusal(engines.room(99)).usable, (100 - 1 - u64::from(FURTHER)) * EACH, "and its mappings count");
        drop(code);
        assert!(weak.upgrade().is_none());
        assert_eq!(engines.room(99).unwrap().instances(), 99);
    }

    #[test]
    fn the_first_engine_lives_without_rooms() {
        let mut engines = engines(3, 100);
        let weak = engines.first().downgrade();
        drop(engines.room(3).unwrap());
        assert!(weak.upgrade().unwrap().is(engines.room(3).unwrap().engine()));
    }

    #[test]
    fn a_room_is_resized_where_it_is_or_not_at_all() {
        let mut engines = engines(10, 100);
        let (mut room, other) = (engines.room(4).unwrap(), engines.room(4).unwrap());
        assert!(room.resize(6));
        assert!(!room.resize(7));
        assert_eq!(room.instances(), 6);
        assert!(!room.resize(u32::MAX));
        drop(other);
        assert!(room.resize(10));
        assert!(room.resize(1));
        assert_eq!(engines.room(9).unwrap().instances(), 9);
        drop(room);
        assert!(engines.room(10).unwrap().engine().is(engines.first()), "the count is right in the end");
    }

    #[test]
    fn what_a_room_promises_can_be_filled() {
        let mut engines = engines(1, 100);
        let room = engines.room(3).unwrap();
        let module = compile(room.engine());
        let start = || WapcHost::new(Box::new(module.provider(WasiParams::default())), None);
        let hosts: Vec<_> = (0..3).map(|_| start().unwrap()).collect();
        assert_eq!(hosts.len(), 3);
    }
}
