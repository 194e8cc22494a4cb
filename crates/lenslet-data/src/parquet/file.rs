//! One Parquet file: its footer, and the columns' pages as the footer tells where they are.
//!
//! *Invariant:* offsets and lengths are checked against the file before use, and a file is refused if it claims more
//! rows than it has bytes.
use super::page::{Column, Physical};
use super::thrift::{self, Struct, Value};
use crate::error::{Fault, Kind, Place, list};
use std::ops::Range;

/// The part of the footer that we use.
#[derive(Debug)]
pub(super) struct File<'a> {
    bytes: &'a [u8],
    footer: Struct<'a>,
    leaves: Vec<Leaf<'a>>,
}

/// A column that is needed.
pub(super) struct Wanted {
    pub(super) what: &'static str,
    /// The ways to it, of which the first that is there counts.
    pub(super) names: &'static [&'static [&'static str]],
    pub(super) types: &'static [Physical],
    /// What its values are, in words.
    pub(super) values: &'static str,
}

/// A column that holds values, with the way to it.
#[derive(Debug)]
struct Leaf<'a> {
    path: Vec<&'a str>,
    physical: Option<Physical>,
    /// How many steps of the way may be null, and how many may repeat.
    optional: u32,
    repeated: u32,
}

/// A horizontal slice of the file.
#[derive(Debug)]
pub(super) struct RowGroup<'a, 'f> {
    file: &'f File<'a>,
    group: &'f Struct<'a>,
    pub(super) rows: usize,
    /// The number of its first row in the file.
    pub(super) first_row: usize,
}

impl<'a> File<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        let range = footer_range(bytes)?;
        let (footer, _) = thrift::read(&bytes[range.clone()], range.start)?;
        let leaves =
            leaves(&footer).ok_or_else(|| Fault::damaged("a tree of columns in the footer", "a broken one"))?;
        Ok(Self { bytes, footer, leaves })
    }

    /// A value of the footer's free metadata.
    pub(super) fn metadata(&self, key: &str) -> Option<&'a str> {
        self.footer.structs(5).find(|pair| pair.text(1) == Some(key))?.text(2)
    }

    /// The index of the first of these columns that is there with a fitting type.
    pub(super) fn column(&self, wanted: &Wanted) -> Result<usize, Fault> {
        let Wanted { what, names, types, values } = wanted;
        let of_type = |leaf: &Leaf| leaf.physical.is_some_and(|physical| types.contains(&physical));
        let fits = |name: &&[&str]| self.leaves.iter().position(|leaf| leaf.path == **name && of_type(leaf));
        if let Some(index) = names.iter().find_map(fits) {
            return Ok(index);
        }
        if let Some(leaf) = self.leaves.iter().find(|leaf| names.contains(&leaf.path.as_slice())) {
            let fix = format!("write {values} into it");
            return Err(Fault::new(Kind::Unsupported, format!("{what} that holds {values}"), leaf.to_string(), fix));
        }
        let present: Vec<_> = self.leaves.iter().map(Leaf::to_string).collect();
        let named = names.iter().map(|name| format!("`{}`", name.join("."))).collect::<Vec<_>>().join(" or ");
        let fix = format!("rename the column to `{}`, and see that it holds {values}", names[0].join("."));
        Err(Fault::new(Kind::Missing, format!("{what} named {named}"), format!("the columns {}", list(&present)), fix))
    }

    /// The name under which column `index` stands in the table.
    pub(super) fn name(&self, index: usize) -> &'a str {
        self.leaves[index].path[0]
    }

    pub(super) fn row_groups(&self) -> Result<Vec<RowGroup<'a, '_>>, Fault> {
        let mut first_row = 0_usize;
        let group = |group| {
            let claimed = Struct::int(group, 3).and_then(|rows| usize::try_from(rows).ok());
            let fits = |&rows: &usize| rows <= self.bytes.len() - first_row;
            let rows = claimed.filter(fits).ok_or_else(|| {
                let found = format!("a group of {} rows", group.int(3).unwrap_or(-1));
                Fault::damaged(format!("no more rows than the file's {} bytes", self.bytes.len()), found)
            })?;
            let group = RowGroup { file: self, group, rows, first_row };
            first_row += rows;
            Ok(group)
        };
        self.footer.structs(4).map(group).collect()
    }
}

impl<'a> RowGroup<'a, '_> {
    /// The values of a column in this group.
    pub(super) fn column(&self, index: usize) -> Result<Column<'a>, Fault> {
        let leaf = &self.file.leaves[index];
        let physical = leaf.physical.filter(|_| leaf.repeated == 0).ok_or_else(|| {
            let fix = "write one picture and one label per row";
            Fault::new(Kind::Unsupported, "one value per row", format!("the list column {leaf}"), fix)
        })?;
        let broken = || Fault::damaged(format!("the place of column {leaf} in the file"), "none within it");
        let chunk = self.group.structs(1).nth(index).and_then(|chunk| chunk.inner(3)).ok_or_else(broken)?;
        let field = |id| chunk.int(id).and_then(|value| usize::try_from(value).ok());
        let start = field(11).filter(|&at| at > 0).into_iter().chain(field(9)).min().ok_or_else(broken)?;
        let end = start.checked_add(field(7).ok_or_else(broken)?).ok_or_else(broken)?;
        let bytes = self.file.bytes.get(start..end).ok_or_else(broken)?;
        let codec = chunk.int(4).unwrap_or(-1);
        Ok(Column::new(bytes, start, codec, physical, leaf.optional, self.rows, self.first_row))
    }
}

impl std::fmt::Display for Leaf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.path.join(".");
        match self.physical {
            Some(physical) => write!(f, "`{name}` ({physical:?})"),
            None => write!(f, "`{name}` (of another type)"),
        }
    }
}

/// A Parquet file ends with its footer, the footer's length and "PAR1".
fn footer_range(bytes: &[u8]) -> Result<Range<usize>, Fault> {
    let damaged = |found: &str| Fault::damaged("a Parquet file, which ends with a footer and \"PAR1\"", found);
    let [.., a, b, c, d, b'P', b'A', b'R', b'1'] = *bytes else {
        return Err(damaged(&format!("{} bytes without that end", bytes.len())));
    };
    let end = bytes.len() - 8;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let start = end.checked_sub(length).ok_or_else(|| {
        damaged(&format!("a footer length of {length} in {} bytes", bytes.len())).at(Place::Byte(end))
    })?;
    Ok(start..end)
}

/// The leaves of the schema, which is a list of nodes, each followed by as many children as it says.
fn leaves<'a>(footer: &Struct<'a>) -> Option<Vec<Leaf<'a>>> {
    let mut leaves = Vec::new();
    // The open groups: how many children are still to come, and the way so far.
    let mut open: Vec<(i64, Vec<&str>, u32, u32)> = Vec::new();
    for (i, node) in footer.list(2).iter().enumerate() {
        let Value::Struct(node) = node else { return None };
        let (mut path, mut optional, mut repeated) = (Vec::new(), 0, 0);
        if i > 0 {
            let (left, way, outer_optional, outer_repeated) = open.last_mut()?;
            *left -= 1;
            path = [way.as_slice(), &[node.text(4)?]].concat();
            optional = *outer_optional + u32::from(node.int(3) == Some(1));
            repeated = *outer_repeated + u32::from(node.int(3) == Some(2));
        }
        match node.int(5) {
            Some(children) if children > 0 && open.len() < 16 => open.push((children, path, optional, repeated)),
            None | Some(0) if i > 0 => {
                leaves.push(Leaf { path, physical: Physical::new(node.int(1)), optional, repeated });
            }
            _ => return None,
        }
        while open.last().is_some_and(|group| group.0 == 0) {
            open.pop();
        }
    }
    open.is_empty().then_some(leaves)
}
