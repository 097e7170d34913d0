//! The manual page of the configuration, of its reference in Markdown.

use std::error::Error;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use roff::{Inline, bold, italic, roman};

use crate::page::Page;

/// What the page is called, and what it is about.
const NAME: (&str, &str) = ("wapcd.toml", "configuration of wapcd");

/// Writes the page: a section of the page for each of the reference. A table becomes paragraphs, one a row.
///
/// # Errors
/// The reference has something that this does not know how to show.
pub(crate) fn page(markdown: &str, see_also: &[&str]) -> Result<String, Box<dyn Error>> {
    let mut writer = Writer::new();
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        writer.take(event)?;
    }
    Ok(writer.page.end(see_also))
}

struct Writer {
    page: Page,
    /// The text of the paragraph, heading, point or cell that is being read.
    text: Vec<Inline>,
    /// How emphasised the text is.
    style: Style,
    /// The lines of a block of code, while one is being read.
    code: Option<String>,
    table: Table,
    /// Whether the text is that of a point.
    in_point: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Plain,
    Strong,
    Emphasis,
}

#[derive(Default)]
struct Table {
    titles: Vec<Vec<Inline>>,
    row: Vec<Vec<Inline>>,
}

impl Writer {
    fn new() -> Self {
        let (name, about) = NAME;
        let mut page = Page::new(name, "5", about);
        page.section("DESCRIPTION");
        Self { page, text: Vec::new(), style: Style::Plain, code: None, table: Table::default(), in_point: false }
    }

    fn take(&mut self, event: Event<'_>) -> Result<(), Box<dyn Error>> {
        match event {
            Event::Text(text) => match &mut self.code {
                Some(code) => code.push_str(&text),
                None => self.text.push(self.styled(&text)),
            },
            Event::Code(text) => self.text.push(bold(&*text)),
            Event::SoftBreak => self.text.push(roman(" ")),
            Event::Start(tag) => self.start(&tag)?,
            Event::End(tag) => self.end(tag),
            other => return Err(format!("the configuration reference has something unknown: {other:?}").into()),
        }
        Ok(())
    }

    fn styled(&self, text: &str) -> Inline {
        match self.style {
            Style::Plain => roman(text),
            Style::Strong => bold(text),
            Style::Emphasis => italic(text),
        }
    }

    fn start(&mut self, tag: &Tag<'_>) -> Result<(), Box<dyn Error>> {
        match tag {
            Tag::CodeBlock(_) => self.code = Some(String::new()),
            Tag::Strong => self.style = Style::Strong,
            Tag::Emphasis => self.style = Style::Emphasis,
            Tag::Item => (self.in_point, self.text) = (true, Vec::new()),
            Tag::Table(_) => self.table = Table::default(),
            Tag::Paragraph | Tag::Heading { .. } | Tag::TableCell if !self.in_point => self.text.clear(),
            Tag::Paragraph
            | Tag::Heading { .. }
            | Tag::TableCell
            | Tag::TableHead
            | Tag::TableRow
            | Tag::List(_)
            | Tag::Link { .. } => {}
            other => return Err(format!("the configuration reference has something unknown: {other:?}").into()),
        }
        Ok(())
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            // The name of the page says as much.
            TagEnd::Heading(HeadingLevel::H1) => self.text.clear(),
            TagEnd::Heading(level) => {
                let title = plain(&std::mem::take(&mut self.text));
                match level {
                    // A name of a section of the file is what is searched for.
                    HeadingLevel::H2 if title.contains('[') => self.page.section(&title),
                    HeadingLevel::H2 => self.page.section(&title.to_uppercase()),
                    _ => self.page.subsection(&title),
                };
            }
            TagEnd::Paragraph if !self.in_point => {
                let text = std::mem::take(&mut self.text);
                self.page.paragraph().text(text);
            }
            TagEnd::Item => {
                self.in_point = false;
                let text = std::mem::take(&mut self.text);
                self.page.point(text);
            }
            TagEnd::CodeBlock => {
                let code = self.code.take().unwrap_or_default();
                self.page.literal(&code);
            }
            TagEnd::Strong | TagEnd::Emphasis => self.style = Style::Plain,
            TagEnd::TableCell => self.table.row.push(std::mem::take(&mut self.text)),
            TagEnd::TableHead => self.table.titles = std::mem::take(&mut self.table.row),
            TagEnd::TableRow => self.row(),
            _ => {}
        }
    }

    /// Writes a row: its first cell, the short ones with the titles of their columns, and the last below.
    fn row(&mut self) {
        let mut cells = std::mem::take(&mut self.table.row).into_iter();
        let Some(term) = cells.next() else { return };
        self.page.term(term);
        let mut cells: Vec<_> = cells.zip(self.table.titles.iter().skip(1)).collect();
        let last = cells.pop();
        let mut facts = Vec::new();
        for (cell, title) in cells.into_iter().filter(|(cell, _)| !cell.is_empty()) {
            if !facts.is_empty() {
                facts.push(roman("; "));
            }
            facts.extend(title.iter().map(|part| roman(plain(std::slice::from_ref(part)))));
            facts.push(roman(": "));
            facts.extend(cell);
        }
        if !facts.is_empty() {
            facts.push(roff::line_break());
        }
        facts.extend(last.into_iter().flat_map(|(cell, _)| cell));
        self.page.text(facts);
    }
}

/// Text without its emphasis.
fn plain(text: &[Inline]) -> String {
    let words = text.iter().map(|part| match part {
        Inline::Roman(text) | Inline::Bold(text) | Inline::Italic(text) => text.as_str(),
        Inline::LineBreak => " ",
    });
    words.collect()
}
