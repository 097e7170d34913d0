//! Which code ran when, as the events tell it: what every answer is held against.

use std::collections::BTreeMap;

use wapcd::supervisor::events::{Event, Subject, What};

use crate::callers::Answer;

/// A generation of a module.
#[derive(Debug, Clone, Default)]
struct Generation {
    sha256: String,
    /// When its swap began; no instance runs it before. The first one is there from the start.
    from: f64,
}

/// What the events say about the modules.
#[derive(Debug, Default)]
pub(crate) struct History {
    generations: BTreeMap<(String, u64), Generation>,
    /// When each instance had taken which generation, in this order.
    taken: BTreeMap<u64, Vec<(f64, u64)>>,
}

impl History {
    pub(crate) fn new(events: &[Event]) -> Self {
        let mut history = Self::default();
        for event in events {
            if let Subject::Module(module) = &event.subject {
                history.add(module, event);
            }
        }
        history
    }

    fn add(&mut self, module: &str, event: &Event) {
        let mut generation = |number: u64, sha256: &str, from: f64| {
            let known = Generation { sha256: sha256.to_owned(), from };
            self.generations.entry((module.to_owned(), number)).or_insert(known);
        };
        match &event.what {
            What::Loaded { generation: number, sha256 } => generation(*number, sha256, 0.0),
            What::SwapBegan { generation: number, sha256, .. } => generation(*number, sha256, event.at),
            What::InstanceStarted { instance, generation, .. } | What::InstanceSwapped { instance, generation, .. } => {
                self.taken.entry(*instance).or_default().push((event.at, *generation));
            }
            _ => {}
        }
    }

    /// What is wrong with an answer: it was refused, came from other code than its header says, or from code that was
    /// not the instance's at any moment between the call and the answer. `builds` gives the build of each hash.
    pub(crate) fn fault(&self, answer: &Answer, builds: &BTreeMap<String, String>) -> Option<String> {
        let fault = |what: String| Some(format!("{what}: {answer:?}"));
        let (Some(number), Some(instance), 200) = (answer.generation, answer.instance, answer.status) else {
            return fault("no answer of a guest".to_owned());
        };
        let Some(generation) = self.generations.get(&(answer.module.to_owned(), number)) else {
            return fault(format!("no event tells of generation {number}"));
        };
        let build = builds.get(&generation.sha256);
        if build.map(String::as_str) != Some(answer.both().0) {
            return fault(format!("generation {number} is build {build:?}"));
        }
        if generation.from > answer.ended {
            return fault(format!("generation {number} came only at {}", generation.from));
        }
        // An instance is told of as swapped when it has been, so its last moment with the code before is no later.
        let taken = self.taken.get(&instance).map(Vec::as_slice).unwrap_or_default();
        let own = taken.iter().position(|(_, taken)| *taken == number);
        let next = own.and_then(|own| taken.get(own + 1)).map(|(at, _)| *at);
        match (own, next) {
            (None, _) => fault(format!("instance {instance} never took generation {number}: {taken:?}")),
            (_, Some(gone)) if gone < answer.began => fault(format!("generation {number} was gone at {gone}")),
            _ => None,
        }
    }

    /// How many generations a module has had.
    pub(crate) fn count(&self, module: &str) -> usize {
        self.generations.keys().filter(|(name, _)| name == module).count()
    }
}

mod tests {
    use std::time::Duration;

    use wapcd::supervisor::status::GenerationOrigin;

    use super::*;

    /// An instance with generation 1, which is build `a`, that takes generation 2, build `b`, from 10 s to 12 s.
    fn history() -> History {
        let sha256 = |build: &str| format!("hash of {build}");
        let origin = GenerationOrigin::File;
        let whats = [
            (1.0, What::Loaded { generation: 1, sha256: sha256("a") }),
            (2.0, What::InstanceStarted { instance: 7, generation: 1, worker: 0 }),
            (10.0, What::SwapBegan { generation: 2, sha256: sha256("b"), origin }),
            (12.0, What::InstanceSwapped { instance: 7, generation: 2, worker: 0 }),
        ];
        let subject = Subject::Module("one".into());
        let event = |(seq, (at, what))| Event { seq, at, subject: subject.clone(), what };
        History::new(&(1..).zip(whats).map(event).collect::<Vec<_>>())
    }

    fn fault(generation: u64, build: &str, began: f64, ended: f64) -> Option<String> {
        let builds = ["a", "b"].map(|build| (format!("hash of {build}"), build.to_owned())).into();
        let (took, text) = (Duration::ZERO, format!("{build} 1"));
        let (generation, instance) = (Some(generation), Some(7));
        history().fault(&Answer { module: "one", began, ended, took, status: 200, generation, instance, text }, &builds)
    }

    #[test]
    fn answers_of_code_that_was_current_are_right_and_all_others_are_not() {
        let right =
            [(1, "a", 3.0, 4.0), (1, "a", 9.0, 11.0), (1, "a", 11.9, 13.0), (2, "b", 9.0, 11.0), (2, "b", 13.0, 14.0)];
        for (generation, build, began, ended) in right {
            assert_eq!(fault(generation, build, began, ended), None);
        }
        let wrong = [
            (1, "b", 3.0, 4.0, "is build"),
            (2, "a", 13.0, 14.0, "is build"),
            (2, "b", 3.0, 4.0, "came only"),
            (1, "a", 12.1, 13.0, "was gone"),
            (3, "b", 13.0, 14.0, "no event"),
        ];
        for (generation, build, began, ended, why) in wrong {
            let fault = fault(generation, build, began, ended).unwrap_or_default();
            assert!(fault.contains(why), "{why}: {fault}");
        }
    }
}
