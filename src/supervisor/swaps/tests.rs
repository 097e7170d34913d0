//! One swap at a time, in which order, and that everybody who asked hears of the end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

type Answer = oneshot::Receiver<Result<bool, SwapError>>;

fn request(source: SwapSource) -> SwapRequest {
    SwapRequest { source, origin: GenerationOrigin::File, why: None, reply: None }
}

fn sent(text: &'static str) -> (SwapRequest, Answer) {
    let (reply, answer) = oneshot::channel();
    let source = SwapSource::Sent { code: Bytes::from_static(text.as_bytes()), force: text == "force" };
    (SwapRequest { source, origin: GenerationOrigin::Operator, why: None, reply: Some(reply) }, answer)
}

/// What waits, in its order.
fn drain(swaps: &mut Swaps) -> Vec<String> {
    let name = |request: SwapRequest| match request.source {
        SwapSource::File => "file".to_owned(),
        SwapSource::Loaded(_) => "loaded".to_owned(),
        SwapSource::Sent { code, .. } => String::from_utf8_lossy(&code).into_owned(),
        SwapSource::LastGood { instead_of } => format!("instead of {instead_of}"),
    };
    std::iter::from_fn(|| swaps.next()).map(name).collect()
}

#[test]
fn swaps_come_in_turn_but_a_roll_back_first_and_one_look_at_the_file_does_for_two() {
    let mut swaps = Swaps::default();
    swaps.push(request(SwapSource::File));
    swaps.push(sent("one").0);
    swaps.push(request(SwapSource::File));
    swaps.push(request(SwapSource::LastGood { instead_of: 7 }));
    swaps.push(sent("two").0);
    assert_eq!(drain(&mut swaps), ["instead of 7", "file", "one", "two"]);
    assert!(swaps.is_idle());
}

#[test]
fn the_next_swap_waits_for_the_end_of_the_one_under_way() {
    let mut swaps = Swaps::default();
    swaps.begin(sent("force").0);
    assert!(swaps.run().is_some_and(|run| run.force) && !swaps.is_idle());
    swaps.push(sent("one").0);
    assert!(swaps.next().is_none());
    assert!(swaps.end().is_some() && swaps.end().is_none());
    assert!(swaps.next().is_some());
}

#[test]
fn too_many_swaps_are_refused_but_never_a_roll_back() {
    let mut swaps = Swaps::default();
    let mut waiting: Vec<Answer> = Vec::new();
    for _ in 0..WAITING {
        let (request, answer) = sent("one");
        swaps.push(request);
        waiting.push(answer);
    }
    let (request_too_many, mut answer) = sent("one");
    swaps.push(request_too_many);
    assert_eq!(answer.try_recv().unwrap(), Err(SwapError::Refused("8 swaps of it are waiting already".to_owned())));
    swaps.push(request(SwapSource::LastGood { instead_of: 1 }));
    assert_eq!(drain(&mut swaps).len(), WAITING + 1);
}

#[test]
fn everybody_who_waits_hears_that_the_module_ends() {
    let mut swaps = Swaps::default();
    let mut answers: Vec<Answer> = Vec::new();
    for text in ["one", "two"] {
        let (request, answer) = sent(text);
        swaps.push(request);
        answers.push(answer);
    }
    swaps.refuse_waiting("it is being stopped");
    for mut answer in answers {
        assert_eq!(answer.try_recv().unwrap(), Err(SwapError::Refused("it is being stopped".to_owned())));
    }
    assert!(swaps.is_idle());
}

#[test]
fn what_is_loaded_for_a_swap_that_has_ended_is_wanted_no_more() {
    let mut swaps = Swaps::default();
    let (id, current) = swaps.begin(request(SwapSource::File));
    assert_eq!(current.load(Relaxed), id);
    swaps.end();
    assert_ne!(current.load(Relaxed), id);
    let (next, _) = swaps.begin(request(SwapSource::File));
    assert!(next > id && current.load(Relaxed) == next);
}

#[test]
fn swaps_are_counted_by_where_their_code_came_from() {
    let mut swaps = Swaps::default();
    swaps.count(GenerationOrigin::File, true);
    swaps.count(GenerationOrigin::File, false);
    swaps.count(GenerationOrigin::RollBack, true);
    let counts = swaps.counts();
    assert_eq!(counts.get("file"), Some(&SwapCounts { done: 1, failed: 1 }));
    assert_eq!(counts.get(GenerationOrigin::RollBack.as_str()), Some(&SwapCounts { done: 1, failed: 0 }));
    assert_eq!(swaps.describe(1), None);
}
