//! What the source says of its own parts: names and doc comments, for tables of the documentation.

use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprTuple, Fields, Item, ItemEnum, ItemStruct, Lit, Meta, Token, Type};

/// A field or a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// As the source has it.
    pub name: String,
    /// The name of a field's type; empty for a variant.
    pub kind: String,
    /// The number of a variant, when the source gives it one.
    pub number: Option<u64>,
    /// Its doc comment in one line.
    pub doc: String,
}

/// A source file.
pub struct Source(syn::File);

impl Source {
    /// # Panics
    /// When `text` is no Rust.
    pub fn new(text: &str) -> Self {
        Self(syn::parse_file(text).expect("the source compiles"))
    }

    /// The fields of a struct; `None` when there is no such struct.
    pub fn fields(&self, name: &str) -> Option<Vec<Part>> {
        let Fields::Named(fields) = &self.item_struct(name)?.fields else { return None };
        Some(
            fields
                .named
                .iter()
                .map(|field| {
                    let name = field.ident.as_ref().expect("named fields have names").to_string();
                    Part { name, kind: type_name(&field.ty), number: None, doc: doc(&field.attrs) }
                })
                .collect(),
        )
    }

    /// The variants of an enum; `None` when there is no such enum.
    pub fn variants(&self, name: &str) -> Option<Vec<Part>> {
        Some(
            self.item_enum(name)?
                .variants
                .iter()
                .map(|variant| {
                    let number = variant.discriminant.as_ref().and_then(|(_, value)| number(value));
                    Part { name: variant.ident.to_string(), kind: String::new(), number, doc: doc(&variant.attrs) }
                })
                .collect(),
        )
    }

    /// The doc comment of a struct or an enum.
    pub fn doc(&self, name: &str) -> Option<String> {
        let attributes = self.item_struct(name).map(|item| &item.attrs).or_else(|| Some(&self.item_enum(name)?.attrs));
        attributes.map(|attributes| doc(attributes))
    }

    /// The lines of a table that a macro reads: each a tuple behind a doc comment. Gives the texts in the tuple with the comment.
    ///
    /// # Panics
    /// When the macro is not called, or with something else.
    pub fn table(&self, name: &str) -> Vec<(Vec<String>, String)> {
        let called = self.0.items.iter().find_map(|item| match item {
            Item::Macro(item) if item.ident.is_none() && item.mac.path.is_ident(name) => Some(&item.mac),
            _ => None,
        });
        let called = called.unwrap_or_else(|| panic!("nothing calls {name}!"));
        let lines = called.parse_body_with(Punctuated::<Line, Token![,]>::parse_terminated).expect("lines of a table");
        lines.into_iter().map(|line| (line.texts, line.doc)).collect()
    }

    fn item_struct(&self, name: &str) -> Option<&ItemStruct> {
        self.0.items.iter().find_map(|item| match item {
            Item::Struct(item) if item.ident == name => Some(item),
            _ => None,
        })
    }

    fn item_enum(&self, name: &str) -> Option<&ItemEnum> {
        self.0.items.iter().find_map(|item| match item {
            Item::Enum(item) if item.ident == name => Some(item),
            _ => None,
        })
    }
}

struct Line {
    texts: Vec<String>,
    doc: String,
}

impl syn::parse::Parse for Line {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let tuple: ExprTuple = input.parse()?;
        let texts = tuple.elems.iter().filter_map(text).collect();
        Ok(Self { texts, doc: doc(&attributes) })
    }
}

fn text(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

fn number(expression: &Expr) -> Option<u64> {
    match expression {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Int(number) => number.base10_parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// The last part of a type's path, such as `LogSet` of `Option<units::LogSet>`.
fn type_name(kind: &Type) -> String {
    let Type::Path(path) = kind else { return String::new() };
    let last = path.path.segments.last().expect("a path has segments");
    match &last.arguments {
        syn::PathArguments::AngleBracketed(arguments) => match arguments.args.first() {
            Some(syn::GenericArgument::Type(inner)) => type_name(inner),
            _ => last.ident.to_string(),
        },
        _ => last.ident.to_string(),
    }
}

fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => text(&pair.value),
        _ => None,
    });
    lines.map(|line| line.trim().to_owned()).collect::<Vec<_>>().join(" ")
}
