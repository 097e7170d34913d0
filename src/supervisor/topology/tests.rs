//! Trees: order, neighbours and strategies.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use super::{sketch::Sketch, *};
use crate::config::{Environment, Group, parse};

/// Three levels, with a binding, a temporary module and one that stands alone.
const NESTED: &str = "z G=rest [ a H=all [ b @c I=one [ d e? ] f ] g ] @y J=one [ h ]";

#[test]
fn bindings_that_stand_alone_start_first_then_groups_in_their_order_then_modules() {
    let sketch = Sketch::new(NESTED);
    assert_eq!(sketch.names(sketch.tree.order()), "y a b c d e f g h z");
}

#[test]
fn the_leaves_of_nodes_are_in_the_order_of_their_start() {
    let sketch = Sketch::new(NESTED);
    let leaves = |names: &[&str]| {
        let nodes: Vec<Node> = names.iter().map(|name| sketch.node(name)).collect();
        sketch.names(&sketch.tree.leaves_of(&nodes))
    };
    assert_eq!(leaves(&["G"]), "a b c d e f g");
    assert_eq!(leaves(&["H"]), "b c d e f");
    assert_eq!(leaves(&["I"]), "d e");
    assert_eq!(leaves(&["a"]), "a");
    assert_eq!(leaves(&["z", "J", "I"]), "z h d e");
    assert_eq!(leaves(&[]), "");
    assert_eq!(sketch.tree.leaves_of(&[Node::Group(99)]), [], "a group that is not there");
}

#[test]
fn the_groups_of_a_node_are_itself_and_those_below() {
    let sketch = Sketch::new(NESTED);
    let groups = |name: &str| {
        let groups: Vec<Node> = sketch.tree.groups_of(sketch.node(name)).into_iter().map(Node::Group).collect();
        sketch.names(&groups)
    };
    assert_eq!([groups("G"), groups("H"), groups("I"), groups("J"), groups("d")], ["G H I", "H I", "I", "J", ""]);
}

#[test]
fn parents_and_roots_follow_the_nesting() {
    let sketch = Sketch::new(NESTED);
    let parent = |name: &str| sketch.tree.parent(sketch.node(name)).map(|group| sketch.name(Node::Group(group)));
    let root = |name: &str| sketch.name(sketch.tree.root_of(sketch.node(name)));
    for (name, expected) in
        [("d", Some("I")), ("I", Some("H")), ("H", Some("G")), ("G", None), ("z", None), ("h", Some("J"))]
    {
        assert_eq!(parent(name), expected, "parent of {name}");
    }
    for (name, expected) in [("d", "G"), ("I", "G"), ("a", "G"), ("G", "G"), ("h", "J"), ("z", "z"), ("y", "y")] {
        assert_eq!(root(name), expected, "root of {name}");
    }
}

#[test]
fn a_strategy_concerns_the_member_alone_or_all_or_it_and_those_after_it() {
    for (tree, member, expected) in [
        ("G=one [ a b c ]", "b", "b"),
        ("G=all [ a b c ]", "b", "a b c"),
        ("G=rest [ a b c ]", "a", "a b c"),
        ("G=rest [ a b c ]", "b", "b c"),
        ("G=rest [ a b c ]", "c", "c"),
        ("G=rest [ a H=all [ x y ] c ]", "H", "H c"),
        ("G=one [ a H=all [ x y ] c ]", "H", "H"),
    ] {
        let sketch = Sketch::new(tree);
        let concerned = sketch.tree.concerned(0, sketch.node(member));
        assert_eq!(sketch.names(concerned), expected, "{member} in {tree}");
    }
}

#[test]
fn who_is_no_member_concerns_nobody() {
    let sketch = Sketch::new("G=all [ a H=rest [ x ] ] z");
    for stranger in ["x", "z", "G"] {
        assert_eq!(sketch.tree.concerned(0, sketch.node(stranger)), [], "{stranger}");
    }
    assert_eq!(sketch.tree.concerned(99, sketch.node("a")), [], "a group that is not there");
}

#[test]
fn before_a_node_come_the_members_in_front_of_it_on_every_level() {
    let sketch = Sketch::new(NESTED);
    let before = |name: &str| {
        let mut names: Vec<&str> = sketch.tree.before(sketch.node(name)).map(|node| sketch.name(node)).collect();
        names.sort_unstable();
        names.join(" ")
    };
    for (name, expected) in [
        ("a", ""),
        ("H", "a"),
        ("b", "a"),
        ("c", "a b"),
        ("d", "a b c"),
        ("e", "a b c d"),
        ("f", "I a b c"),
        ("g", "H a"),
        ("h", ""),
        ("z", ""),
    ] {
        assert_eq!(before(name), expected, "before {name}");
    }
}

#[test]
fn all_that_is_before_a_leaf_starts_before_it() {
    let sketch = Sketch::new(NESTED);
    let place = |node: Node| sketch.tree.order().iter().position(|leaf| *leaf == node).unwrap();
    for leaf in sketch.tree.order() {
        let before: Vec<Node> = sketch.tree.before(*leaf).collect();
        for earlier in sketch.tree.leaves_of(&before) {
            assert!(place(earlier) < place(*leaf), "{} before {}", sketch.name(earlier), sketch.name(*leaf));
        }
    }
}

#[test]
fn only_leaves_of_that_type_are_temporary() {
    let sketch = Sketch::new("a b~ c? G=all [ d? ]");
    let temporary: Vec<&str> =
        ["a", "b", "c", "d", "G"].into_iter().filter(|name| sketch.tree.is_temporary(sketch.node(name))).collect();
    assert_eq!(temporary, ["c", "d"]);
}

#[test]
fn names_of_the_configuration_lead_to_their_places_also_where_kinds_share_a_name() {
    let text = r#"
        [modules.x]
        path = "/x.wasm"
        [modules.alone]
        path = "/x.wasm"
        restart = { type = "temporary" }
        [bindings.alone]
        type = "log"
        [bindings.x]
        type = "log"
    "#;
    let environment = Environment { home: Some("/home/ada".into()), cores: 1, ..Environment::default() };
    let mut config = parse(text, Path::new("/wapcd.toml"), &environment).unwrap();
    let group = |name: &str, members: Vec<Member>| Group {
        name: name.into(),
        strategy: Strategy::RestForOne,
        members,
        intensity: 3,
        period: Duration::from_secs(7),
        retry_failed: None,
        critical: true,
    };
    // Bindings that every configuration has are of no interest here.
    config.bindings.retain(|it| ["alone", "x"].contains(&&*it.name));
    config.groups = vec![
        group("inner", vec![Member::Module("x".into())]),
        group("x", vec![Member::Binding("x".into()), Member::Group("inner".into()), Member::Module("gone".into())]),
    ];
    let at = |at: Option<usize>, node: fn(usize) -> Node| at.map(node);
    let place = |member: &Member| match member {
        Member::Module(name) => at(config.modules.iter().position(|it| it.name == *name), Node::Module),
        Member::Binding(name) => at(config.bindings.iter().position(|it| it.name == *name), Node::Binding),
        Member::Group(name) => at(config.groups.iter().position(|it| it.name == *name), Node::Group),
        Member::Trigger(name) => at(config.triggers.iter().position(|it| it.name == *name), Node::Trigger),
    };
    let tree = Topology::new(&config, place);
    let module = |name: &str| Node::Module(config.modules.iter().position(|it| &*it.name == name).unwrap());
    let binding = |name: &str| Node::Binding(config.bindings.iter().position(|it| &*it.name == name).unwrap());
    assert_eq!(tree.order(), [binding("alone"), binding("x"), module("x"), module("alone")]);
    assert_eq!(
        [tree.parent(module("x")), tree.parent(binding("x")), tree.parent(module("alone"))],
        [Some(0), Some(1), None]
    );
    assert_eq!(tree.root_of(module("x")), Node::Group(1));
    assert!(tree.is_temporary(module("alone")) && !tree.is_temporary(binding("alone")));
    let outer = tree.group(1).unwrap();
    assert_eq!((outer.strategy, outer.intensity, outer.period), (Strategy::RestForOne, 3, Duration::from_secs(7)));
    assert!(outer.critical);
    assert_eq!(outer.members, [binding("x"), Node::Group(0)], "names that lead nowhere are left out");
}
