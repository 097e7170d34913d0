//! How a part of an object's name is written as the name of a file or directory.
//!
//! A directory's name is the part with `+` behind it, and a file's is the part itself, so that there can be an object `a`
//! beside an object `a/b`: the file `a` and the file `b` in the directory `a+`. A file whose part ends in `+` or `%` gets a
//! `%` behind it, which is taken away again; so no two parts have one name, and no file has a directory's.

/// The name of the directory for a part.
pub(super) fn directory(part: &str) -> String {
    format!("{part}+")
}

/// The name of the file for a part.
pub(super) fn file(part: &str) -> String {
    match part.ends_with(['+', '%']) {
        true => format!("{part}%"),
        false => part.to_owned(),
    }
}

/// The part whose directory has this name.
pub(super) fn part_of_directory(name: &str) -> Option<&str> {
    name.strip_suffix('+')
}

/// The part whose file has this name.
pub(super) fn part_of_file(name: &str) -> Option<&str> {
    let part = name.strip_suffix('%').unwrap_or(name);
    (file(part) == name).then_some(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn most_names_are_written_as_they_are() {
        assert_eq!((file("report.pdf"), directory("2024")), ("report.pdf".to_owned(), "2024+".to_owned()));
        assert_eq!((file("c++"), file("100%"), directory("c++")), ("c++%".into(), "100%%".into(), "c+++".into()));
        assert_eq!((part_of_file("a%"), part_of_file("a+"), part_of_directory("a")), (None, None, None));
    }

    proptest! {
        #[test]
        fn every_part_is_read_back_and_no_two_have_one_name(one in "[a+%.]{1,6}", other in "[a+%.]{1,6}") {
            let names = [file(&one), directory(&one), file(&other), directory(&other)];
            prop_assert_eq!(part_of_file(&names[0]), Some(&*one));
            prop_assert_eq!(part_of_directory(&names[1]), Some(&*one));
            prop_assert!(names[0] != names[1] && names[0] != names[3] && names[1] != names[2]);
            prop_assert!(one == other || (names[0] != names[2] && names[1] != names[3]));
            prop_assert!(part_of_file(&names[1]).is_none() && part_of_directory(&names[0]).is_none());
        }
    }
}
