//! Decisions as a table: each case with the sentence that it follows.
//!
//! A case is a name, a tree (see `topology/sketch.rs`), what happens to it with what must follow, and a sentence.
//!
//! ```text
//!   0 a trap -> restart; 1.5 a+ spin -> G: stop c b, start a b c, after 100ms; park b; clear a
//!   │ │ │       │             │ └ a call of it succeeded since its exit before
//!   │ │ │       └ the decision
//!   │ │ └ why it ended; `trap*0.5`: with that roll of the dice
//!   │ └ who
//!   └ when, in seconds
//! ```
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod alone;
mod groups;
mod nested;
mod properties;
mod sentences;
mod waits;

use super::*;
use crate::supervisor::topology::sketch::Sketch;

/// Name, tree, steps, sentence.
type Row = (&'static str, &'static str, &'static str, &'static str);

#[test]
fn what_follows_from_an_exit_is_what_the_sentence_says() {
    let rows: Vec<Row> = [alone::ROWS, waits::ROWS, groups::ROWS, nested::ROWS].concat();
    let wrong: Vec<String> = rows.iter().filter_map(|row| check(row).err()).collect();
    assert!(wrong.is_empty(), "{} of {} cases are wrong:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn the_table_has_no_case_twice_and_each_cites_a_sentence() {
    let rows: Vec<Row> = [alone::ROWS, waits::ROWS, groups::ROWS, nested::ROWS].concat();
    let distinct = |texts: Vec<String>| texts.into_iter().collect::<HashSet<_>>().len();
    assert_eq!(distinct(rows.iter().map(|row| row.0.to_owned()).collect()), rows.len());
    assert_eq!(distinct(rows.iter().map(|row| format!("{}, {}", row.1, row.2)).collect()), rows.len());
    assert!(rows.iter().all(|row| row.3.starts_with("OTP: ") || row.3.starts_with("wapcd: ")));
    assert!(rows.len() >= 80, "{} cases", rows.len());
}

/// Plays a case; an error tells all that one needs to judge it.
fn check((name, tree, steps, sentence): &Row) -> Result<(), String> {
    let sketch = Sketch::new(tree);
    let begin = Instant::now();
    let (mut histories, mut parked) = (Histories::default(), HashSet::new());
    for step in steps.split(';').map(str::trim) {
        let words: Vec<&str> = step.split_whitespace().collect();
        match words[..] {
            ["park", leaf] => {
                parked.insert(sketch.node(leaf));
            }
            ["unpark", leaf] => {
                parked.remove(&sketch.node(leaf));
            }
            ["clear", node] => histories.clear([sketch.node(node)]),
            [at, "counts", node, count] => {
                let counted = histories.in_window(&sketch.tree, sketch.node(node), begin + seconds(at), |_| false);
                if counted.to_string() != count {
                    return Err(format!(
                        "{name}\n  tree:     {tree}\n  step:     {step}\n  got:      {counted}\n  sentence: {sentence}"
                    ));
                }
            }
            _ => {
                let (exit, expected) = step.split_once("->").unwrap_or_else(|| panic!("{name}: no step `{step}`"));
                let (decision, next) = decide(&sketch.tree, of_exit(&sketch, begin, exit), histories, &parked);
                histories = next;
                let got = text(&sketch, &decision);
                if got != expected.trim() {
                    return Err(format!(
                        "{name}\n  tree:     {tree}\n  step:     {step}\n  got:      {got}\n  sentence: {sentence}"
                    ));
                }
            }
        }
    }
    Ok(())
}

fn of_exit(sketch: &Sketch, begin: Instant, text: &str) -> Exit {
    let [at, who, why] = text.split_whitespace().collect::<Vec<_>>()[..] else { panic!("no exit `{text}`") };
    let (why, roll) = why.split_once('*').unwrap_or((why, "0"));
    let reason = match why {
        "stopped" => ExitReason::Stopped,
        "trap" => ExitReason::Trapped,
        "spin" => ExitReason::DeadlineExceeded { in_host_call: false },
        "waited" => ExitReason::DeadlineExceeded { in_host_call: true },
        "grew" => ExitReason::LimitExceeded,
        "exit0" => ExitReason::Exited(0),
        "exit1" => ExitReason::Exited(1),
        "panic" => ExitReason::Panicked,
        "load" => ExitReason::LoadFailed,
        "start" => ExitReason::StartFailed,
        "unhealthy" => ExitReason::Unhealthy,
        "unbound" => ExitReason::BindingEnded,
        _ => panic!("no reason `{why}`"),
    };
    let (child, succeeded) = (sketch.node(who.trim_end_matches('+')), who.ends_with('+'));
    Exit { child, reason, succeeded, at: begin + seconds(at), roll: roll.parse().unwrap() }
}

fn seconds(text: &str) -> Duration {
    Duration::try_from_secs_f64(text.parse().unwrap()).unwrap()
}

/// A decision as the table writes it: what is empty or at once is left out.
fn text(sketch: &Sketch, decision: &Decision) -> String {
    let part = |word: &str, nodes: &[Node]| match nodes {
        [] => String::new(),
        _ => format!(", {word} {}", sketch.names(nodes)),
    };
    let wait = match decision.wait() {
        None | Some(Duration::ZERO) => String::new(),
        Some(after) => format!(", after {after:?}"),
    };
    match decision {
        Decision::Restart(_) => format!("restart{wait}"),
        Decision::RestartGroup { group, stop, start, .. } => {
            format!("{}{}{}{wait}", sketch.name(Node::Group(*group)), part("stop", stop), part("start", start))
        }
        Decision::Stop => "stop".to_owned(),
        Decision::Fail { top, stop, critical } => {
            let verb = if *critical { "stop daemon for" } else { "fail" };
            format!("{verb} {}{}", sketch.name(*top), part("stop", stop))
        }
    }
}
