//! The parts of which every manual page is made.

use roff::{Inline, Roff, bold, roman};

/// A manual page while it is being written.
pub(crate) struct Page(Roff);

impl Page {
    /// Begins the page of that name and section with what it is about, in one line.
    pub(crate) fn new(name: &str, section: &str, about: &str) -> Self {
        let mut roff = Roff::new();
        let version = concat!("wapcd ", env!("CARGO_PKG_VERSION"));
        roff.control("TH", [&*name.to_uppercase(), section, "", version, ""]);
        let mut page = Self(roff);
        page.section("NAME").text([roman(format!("{name} - {about}"))]);
        page
    }

    /// Begins a section. Titles are in capitals by custom, but not where they are names.
    pub(crate) fn section(&mut self, title: &str) -> &mut Self {
        self.0.control("SH", [title]);
        self
    }

    pub(crate) fn subsection(&mut self, title: &str) -> &mut Self {
        self.0.control("SS", [title]);
        self
    }

    /// Begins a paragraph.
    pub(crate) fn paragraph(&mut self) -> &mut Self {
        self.0.control("PP", []);
        self
    }

    /// Begins a paragraph of a term and what follows it.
    pub(crate) fn term(&mut self, term: impl Into<Vec<Inline>>) -> &mut Self {
        self.0.control("TP", []).text(term);
        self
    }

    pub(crate) fn text(&mut self, text: impl Into<Vec<Inline>>) -> &mut Self {
        self.0.text(text);
        self
    }

    /// A point of a list.
    pub(crate) fn point(&mut self, text: impl Into<Vec<Inline>>) -> &mut Self {
        self.0.control("IP", ["\\(bu", "2"]).text(text);
        self
    }

    /// Lines that stay as they are.
    pub(crate) fn literal(&mut self, text: &str) -> &mut Self {
        self.0.control("PP", []).control("RS", ["4"]).control("nf", []);
        for line in text.lines() {
            // An empty line of text would end what goes before it.
            self.0.text([roman(if line.is_empty() { " " } else { line })]);
        }
        self.0.control("fi", []).control("RE", []);
        self
    }

    /// Ends the page with the names of others.
    pub(crate) fn end(mut self, see_also: &[&str]) -> String {
        self.section("SEE ALSO");
        let named = |(index, name): (usize, &&str)| {
            let (name, section) = name.split_once('(').unwrap_or((name, ")"));
            let comma = if index + 1 < see_also.len() { ", " } else { "" };
            [bold(name), roman(format!("({section}{comma}"))]
        };
        let others: Vec<Inline> = see_also.iter().enumerate().flat_map(named).collect();
        self.text(others);
        self.0.render()
    }
}

/// Text in which what stands between backticks is bold.
pub(crate) fn with_code(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate();
    parts.map(|(index, part)| if index % 2 == 1 { bold(part) } else { roman(part) }).collect()
}
