//! What holds for every tree and every series of exits.

use proptest::prelude::*;

use super::*;
use crate::{
    config::Strategy as Kind,
    supervisor::topology::{Branch, sketch::Sketch},
};

/// One exit of a generated series: which leaf, why, how long after the one before, whether a call had succeeded, the roll.
type Step = (usize, ExitReason, u64, bool, f64);

fn reason() -> impl Strategy<Value = ExitReason> {
    prop_oneof![
        6 => Just(ExitReason::Trapped),
        1 => Just(ExitReason::Exited(0)),
        1 => Just(ExitReason::Stopped),
        1 => Just(ExitReason::LoadFailed),
        1 => any::<bool>().prop_map(|in_host_call| ExitReason::DeadlineExceeded { in_host_call }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec((0..8_usize, reason(), 0..4_000_u64, proptest::bool::weighted(0.2), 0.0..=1.0), 1..60)
}

fn restart() -> impl Strategy<Value = Restart> {
    let types = prop_oneof![3 => Just(RestartType::Permanent), 1 => Just(RestartType::Transient), 1 => Just(RestartType::Temporary)];
    (types, 0..4_u32, 1..6_u64, any::<bool>(), 0..3_u64, 1.0..3.0).prop_map(
        |(restart_type, intensity, period, reset_on_success, initial, factor)| Restart {
            restart_type,
            intensity,
            period: Duration::from_secs(period),
            reset_on_success,
            retry_failed: None,
            backoff: Backoff {
                initial: Duration::from_millis(initial * 100),
                max: Duration::from_millis(1_500),
                factor,
                jitter: 0.0,
            },
        },
    )
}

fn branch() -> impl Strategy<Value = Branch> {
    let kinds = prop_oneof![Just(Kind::OneForOne), Just(Kind::OneForAll), Just(Kind::RestForOne)];
    (kinds, 0..4_u32, 1..6_u64, any::<bool>()).prop_map(|(strategy, intensity, period, critical)| Branch {
        strategy,
        members: Vec::new(),
        intensity,
        period: Duration::from_secs(period),
        critical,
    })
}

/// Up to four groups, each below one of those before it or at the top, and up to eight leaves below any of them.
fn tree() -> impl Strategy<Value = Topology> {
    let groups = proptest::collection::vec((branch(), any::<prop::sample::Index>()), 0..5);
    let leaves = proptest::collection::vec((restart(), any::<prop::sample::Index>(), any::<bool>()), 1..9);
    (groups, leaves, any::<bool>()).prop_map(|(groups, leaves, leaves_first)| {
        // Place 0 is the top, place n is group n - 1.
        let (branches, places): (Vec<Branch>, Vec<_>) = groups.into_iter().unzip();
        let mut branches = branches;
        let mut members: Vec<(usize, Node)> =
            places.iter().enumerate().map(|(at, place)| (place.index(at + 1), Node::Group(at))).collect();
        let node = |(at, binding): (usize, bool)| if binding { Node::Binding(at) } else { Node::Module(at) };
        for (at, (_, place, binding)) in leaves.iter().enumerate() {
            let position = if leaves_first { at } else { members.len() };
            members.insert(position, (place.index(branches.len() + 1), node((at, *binding))));
        }
        for (place, member) in members {
            if let Some(group) = place.checked_sub(1) {
                branches[group].members.push(member);
            }
        }
        let leaves = leaves.into_iter().enumerate().map(|(at, (restart, _, binding))| (node((at, binding)), restart));
        Topology::build(branches.into_iter().enumerate().collect(), leaves.collect())
    })
}

/// Every decision of a series, with its exit. Who has failed gets a new chance at once.
fn play(tree: &Topology, steps: &[Step], parked: &HashSet<Node>, mut each: impl FnMut(Exit, &Decision, &Histories)) {
    let (mut at, mut histories) = (Instant::now(), Histories::default());
    for (child, reason, later, succeeded, roll) in steps {
        at += Duration::from_millis(*later);
        let child = tree.order()[child % tree.order().len()];
        let exit = Exit { child, reason: *reason, succeeded: *succeeded, at, roll: *roll };
        let (decision, next) = decide(tree, exit, histories, parked);
        histories = next;
        each(exit, &decision, &histories);
        if let Decision::Fail { top, .. } = decision {
            histories.clear(tree.leaves_of(&[top]).into_iter().chain(tree.groups_of(top).into_iter().map(Node::Group)));
        }
    }
}

/// Keeps what is in `list`, in that order, of those that `keep` says.
fn only(list: &[Node], keep: impl Fn(&Node) -> bool) -> Vec<Node> {
    list.iter().copied().filter(keep).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// The counting is done again here, from the decisions alone.
    #[test]
    fn nobody_restarts_more_often_than_its_intensity_in_any_window(tree in tree(), steps in steps()) {
        let mut counted: HashMap<Node, Vec<(Instant, Node)>> = HashMap::new();
        play(&tree, &steps, &HashSet::new(), |exit, decision, histories| {
            if exit.succeeded && tree.restart(exit.child).unwrap().reset_on_success {
                counted.values_mut().for_each(|restarts| restarts.retain(|(_, cause)| *cause != exit.child));
            }
            let rebuilt = exit.reason == ExitReason::DeadlineExceeded { in_host_call: true };
            let counter = match decision {
                Decision::Restart(_) if !rebuilt => tree.parent(exit.child).map_or(exit.child, Node::Group),
                Decision::RestartGroup { group, start, .. } => {
                    // Groups that were restarted as a whole begin anew.
                    let below = tree.groups_of(Node::Group(*group)).into_iter().map(Node::Group);
                    for inner in below.filter(|inner| *inner != Node::Group(*group)) {
                        let leaves = tree.leaves_of(&[inner]);
                        if leaves.iter().any(|leaf| start.contains(leaf) || *leaf == exit.child) {
                            counted.remove(&inner);
                        }
                    }
                    Node::Group(*group)
                }
                Decision::Fail { top, .. } => {
                    let groups = tree.groups_of(*top).into_iter().map(Node::Group);
                    let below: Vec<Node> = groups.chain(tree.leaves_of(&[*top])).collect();
                    counted.retain(|node, _| !below.contains(node));
                    return;
                }
                Decision::Restart(_) | Decision::Stop => return,
            };
            counted.entry(counter).or_default().push((exit.at, exit.child));
            let (intensity, period) = limits(&tree, counter);
            let recent = counted[&counter].iter().filter(|(at, _)| exit.at - *at <= period).count();
            assert!(recent <= intensity as usize, "{counter:?} restarts {recent} times, {intensity} are allowed");
            assert_eq!(histories.in_window(&tree, counter, exit.at, |_| false) as usize, recent, "{counter:?}");
        });
    }

    #[test]
    fn starts_are_in_the_order_of_the_tree_and_stops_in_reverse_and_nobody_else_is_concerned(
        tree in tree(), steps in steps(), parks in proptest::collection::vec(any::<bool>(), 8),
    ) {
        let parked: HashSet<Node> =
            tree.order().iter().zip(parks).filter_map(|(leaf, parked)| parked.then_some(*leaf)).collect();
        play(&tree, &steps, &parked, |exit, decision, _| {
            if parked.contains(&exit.child) {
                assert_eq!(*decision, Decision::Stop);
            }
            let (top, stop) = match decision {
                Decision::RestartGroup { group, stop, start, .. } => {
                    let ordered = only(tree.order(), |leaf| start.contains(leaf));
                    assert_eq!(*start, ordered, "start");
                    let stopped_too = |leaf: &Node| *leaf == exit.child || stop.contains(leaf);
                    let expected = only(tree.order(), |leaf| stopped_too(leaf) && !tree.is_temporary(*leaf));
                    assert_eq!(*start, expected, "start is what was stopped, and what ended");
                    assert!(start.contains(&exit.child), "who ended is started");
                    (Node::Group(*group), stop)
                }
                Decision::Fail { top, stop, .. } => {
                    let rest = only(&tree.leaves_of(&[*top]), |leaf| *leaf != exit.child && !parked.contains(leaf));
                    assert_eq!(stop.len(), rest.len(), "all of it are stopped");
                    assert_eq!(tree.root_of(exit.child) == *top, !tree.is_temporary(exit.child) || tree.parent(exit.child).is_none());
                    (*top, stop)
                }
                Decision::Restart(_) | Decision::Stop => return,
            };
            let mut ordered = only(tree.order(), |leaf| stop.contains(leaf));
            ordered.reverse();
            assert_eq!(*stop, ordered, "stop");
            let below = tree.leaves_of(&[top]);
            assert!(below.contains(&exit.child));
            for leaf in stop {
                assert!(below.contains(leaf) && *leaf != exit.child && !parked.contains(leaf), "{leaf:?}");
            }
        });
    }

    #[test]
    fn without_a_success_it_fails_after_as_many_restarts_as_the_intensity(intensity in 0..50_u32) {
        let sketch = Sketch::new(&format!("a:{intensity}/1"));
        let a = sketch.node("a");
        prop_assert_eq!(restarts_until_it_fails(&sketch.tree, a), intensity);
    }

    #[test]
    fn intensities_of_nested_groups_multiply(outer in 0..8_u32, inner in 0..8_u32, strategy in 0..3_usize) {
        let strategy = ["one", "all", "rest"][strategy];
        let sketch = Sketch::new(&format!("G={strategy}:{outer}/1 [ x H={strategy}:{inner}/1 [ a b ] ]"));
        let a = sketch.node("a");
        prop_assert_eq!(restarts_until_it_fails(&sketch.tree, a), (outer + 1) * (inner + 1) - 1);
    }

    #[test]
    fn waits_without_jitter_never_shrink_in_a_series_and_never_pass_the_cap(
        initial in 0..5_000_u64, more in 0..100_000_u64, factor in 1.0..1000.0_f64, exits in 1..200_usize,
    ) {
        let max = Duration::from_millis(initial + more);
        let settings = Backoff { initial: Duration::from_millis(initial), max, factor, jitter: 0.0 };
        let mut before = Duration::ZERO;
        for streak in (0..u32::try_from(exits).unwrap()).chain([u32::MAX]) {
            let wait = backoff(&settings, streak, 1.0);
            prop_assert!(wait >= before && wait <= max, "{wait:?} after {before:?}, at most {max:?}");
            before = wait;
        }
    }

    /// Growing nothing for very long is nothing as well, not the cap.
    #[test]
    fn a_first_wait_of_0_never_waits_however_long_the_series(factor in 1.0..1000.0_f64, streak: u32) {
        let settings = Backoff { initial: Duration::ZERO, max: Duration::from_secs(30), factor, jitter: 0.0 };
        prop_assert_eq!(backoff(&settings, streak, 0.0), Duration::ZERO);
    }

    #[test]
    fn a_wait_with_jitter_is_between_the_part_that_is_sure_and_the_whole(
        jitter in 0.0..=1.0_f64, roll in 0.0..=1.0_f64, streak in 2..40_u32,
    ) {
        let settings = |jitter| Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(30), factor: 2.0, jitter };
        let whole = backoff(&settings(0.0), streak, roll);
        let wait = backoff(&settings(jitter), streak, roll);
        prop_assert!(wait <= whole, "{wait:?} of {whole:?}");
        prop_assert!(wait.as_secs_f64() >= whole.as_secs_f64() * (1.0 - jitter) - 1e-9, "{wait:?} of {whole:?}");
    }

    #[test]
    fn the_same_exit_is_decided_in_the_same_way(tree in tree(), steps in steps()) {
        let run = || {
            let mut seen = Vec::new();
            play(&tree, &steps, &HashSet::new(), |exit, decision, histories| {
                let counts = tree.order().iter().map(|leaf| histories.in_window(&tree, *leaf, exit.at, |_| false));
                seen.push((decision.clone(), counts.collect::<Vec<_>>()));
            });
            seen
        };
        prop_assert_eq!(run(), run());
    }
}

/// How often a child that always traps at once is restarted before the daemon leaves it.
fn restarts_until_it_fails(tree: &Topology, child: Node) -> u32 {
    let (at, mut histories) = (Instant::now(), Histories::default());
    let exit = Exit { child, reason: ExitReason::Trapped, succeeded: false, at, roll: 0.0 };
    for restarts in 0..1_000 {
        let (decision, next) = decide(tree, exit, histories, &HashSet::new());
        histories = next;
        if matches!(decision, Decision::Fail { .. }) {
            return restarts;
        }
    }
    panic!("{child:?} was restarted a thousand times")
}
