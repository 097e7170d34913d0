//! The part of a request's path behind the `?`: parameters by name, and what is wrong with them.

use actix_web::web::Query;

use super::problem::{Kind, Problem};

/// The parameters in the order in which they were sent.
///
/// # Errors
/// A problem where the text is not one of names and values.
pub(super) fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    Query::from_query(query)
        .map(Query::into_inner)
        .map_err(|error| Problem::new(Kind::BadRequest, format!("the query cannot be read: {error}")))
}

/// Reads a query that may have one parameter, which is true or false, and is false where it is missing.
///
/// # Errors
/// A problem that names the parameter that is wrong, unknown or there twice.
pub(super) fn only_flag(query: &str, known: &str) -> Result<bool, Problem> {
    let mut found = None;
    for (name, value) in pairs(query)? {
        if name != known {
            return Err(unknown(&name, &format!("there is only `{known}`")));
        }
        if found.replace(flag(&name, &value)?).is_some() {
            return Err(wrong(&name, &value, "it is there twice"));
        }
    }
    Ok(found.unwrap_or_default())
}

/// Refuses every parameter.
///
/// # Errors
/// A problem that names the first one.
pub(super) fn nothing(query: &str) -> Result<(), Problem> {
    pairs(query)?.first().map_or(Ok(()), |(name, _)| Err(unknown(name, "this path takes none")))
}

/// The value of a parameter that is true or false.
///
/// # Errors
/// A problem for anything else.
pub(super) fn flag(name: &str, value: &str) -> Result<bool, Problem> {
    value.parse().map_err(|_wrong| wrong(name, value, "it is `true` or `false`"))
}

/// The value of a parameter that is a number.
///
/// # Errors
/// A problem for anything else.
pub(super) fn number(name: &str, value: &str) -> Result<u64, Problem> {
    value.parse().map_err(|_wrong| wrong(name, value, "it is a number from 0 on"))
}

/// A value that a parameter cannot have.
pub(super) fn wrong(name: &str, value: &str, expected: &str) -> Problem {
    Problem::new(Kind::BadRequest, format!("the parameter `{name}` cannot be `{value}`: {expected}"))
}

/// A parameter that does not exist.
pub(super) fn unknown(name: &str, known: &str) -> Problem {
    Problem::new(Kind::BadRequest, format!("there is no parameter `{name}`: {known}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_flag_is_false_where_it_is_missing_and_everything_else_is_named() {
        assert!(!only_flag("", "force").unwrap());
        assert!(only_flag("force=true", "force").unwrap() && !only_flag("force=false", "force").unwrap());
        for (query, named) in [
            ("force", "`force` cannot be ``"),
            ("force=1", "`force` cannot be `1`: it is `true` or `false`"),
            ("Force=true", "no parameter `Force`: there is only `force`"),
            ("force=true&dry_run=true", "no parameter `dry_run`"),
            ("force=true&force=false", "`force` cannot be `false`: it is there twice"),
            ("=", "no parameter ``"),
        ] {
            let problem = only_flag(query, "force").unwrap_err();
            assert!(problem.status == 400 && problem.detail.contains(named), "{query}: {problem}");
        }
        assert!(nothing("").is_ok());
        assert_eq!(nothing("force=true").unwrap_err().detail, "there is no parameter `force`: this path takes none");
    }
}
