//! Names that stay inside, pages that are exact, and what is left by those who died.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::PathBuf};

use proptest::{collection::btree_set, prelude::*};

use super::*;
use crate::bindings::{blob::space::Scope, testing};

fn place(name: &str) -> Option<Place> {
    let name = Name::parse("name", name).ok()?;
    Some(Place { scope: Scope::of(&testing::call("put", "")), name })
}

fn path(root: &Path, place: &Place) -> PathBuf {
    let (directories, file) = way(place);
    root.join(directories.join("/")).join(file)
}

#[test]
fn what_a_killed_process_left_is_cleared_at_the_start() {
    let root = tempfile::tempdir().unwrap();
    let tree = Tree::open(root.path()).unwrap();
    let place = place("a").unwrap();
    tree.put(&place, b"whole", None, false).unwrap();
    let left = tree.incoming().unwrap();
    (&left.file).write_all(b"ha").unwrap();
    std::mem::forget(left);
    drop(tree);
    let tree = Tree::open(root.path()).unwrap();
    assert_eq!(fs::read_dir(root.path().join(INCOMING)).unwrap().count(), 0);
    assert_eq!(tree.open_object(&place).unwrap().unwrap().facts.size, 5);
}

#[test]
fn directories_come_and_go_while_objects_do() {
    let root = tempfile::tempdir().unwrap();
    let tree = Tree::open(root.path()).unwrap();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let tree = &tree;
            scope.spawn(move || {
                let place = place(&format!("x/y/{number}")).unwrap();
                for _ in 0..100 {
                    tree.put(&place, b"content", None, number % 2 == 0).unwrap();
                    assert_eq!(tree.open_object(&place).unwrap().unwrap().facts.size, 7);
                    assert!(tree.delete(&place).unwrap());
                }
            });
        }
    });
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "only `incoming` is left");
}

proptest! {
    #[test]
    fn no_name_leads_out_of_its_space(name in "[./+%a]{1,12}|(\\PC{0,90}/){0,3}\\PC{0,90}") {
        if let Some(place) = place(&name) {
            let (mut steps, file) = way(&place);
            steps.push(file);
            prop_assert!(steps.starts_with(&["modules".to_owned(), "tester".to_owned()]));
            for step in &steps {
                prop_assert!(!step.is_empty() && step != "." && step != ".." && !step.contains(['/', '\0']) && step.len() <= 255);
            }
        }
    }

    #[test]
    fn pages_have_exactly_the_names_that_they_should(
        names in btree_set("[a+%./-]{1,6}", 0..24),
        prefix in "[a+/]{0,3}",
        after in "[a+%/.-]{0,4}",
        limit in 1usize..9,
    ) {
        let root = tempfile::tempdir().unwrap();
        let tree = Tree::open(root.path()).unwrap();
        let mut expected = Vec::new();
        for place in names.iter().filter_map(|name| place(name)) {
            let path = path(root.path(), &place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
            expected.push(place.name.as_str().to_owned());
        }
        expected.retain(|name| name.starts_with(&prefix) && *name > after);
        let mut found = Vec::new();
        let mut page = Page { scope: Scope::of(&testing::call("list", "")), prefix, after, limit };
        loop {
            let listed = tree.list(&page).unwrap();
            found.extend(listed.objects.into_iter().map(|object| object.name));
            let Some(next) = listed.next else { break };
            prop_assert_eq!((found.len() % limit, found.last()), (0, Some(&next)));
            page.after = next;
        }
        prop_assert_eq!(found, expected);
    }
}
