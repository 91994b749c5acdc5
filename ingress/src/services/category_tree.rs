//! The tree of categories, with statistics, from the flat list.

use std::collections::BTreeMap;

use emshop_proto::v1::{Category, CategoryNode, GetCategoryTreeResponse};

/// Of categories by id. What comes below a category that is not in the list is left out: it was made while the list was read.
pub fn of(categories: Vec<Category>) -> GetCategoryTreeResponse {
    let mut by_parent: BTreeMap<u64, Vec<Category>> = BTreeMap::new();
    for category in categories {
        by_parent.entry(category.parent_id).or_default().push(category);
    }
    let mut tree = GetCategoryTreeResponse::default();
    tree.roots = below(0, &mut by_parent, &mut tree);
    tree.total = tree.level1 + tree.level2 + tree.level3;
    tree
}

/// The nodes below a category, which are counted.
fn below(parent_id: u64, by_parent: &mut BTreeMap<u64, Vec<Category>>, tree: &mut GetCategoryTreeResponse) -> Vec<CategoryNode> {
    let categories = by_parent.remove(&parent_id).unwrap_or_default();
    let node = |category: Category| {
        let level = match category.level {
            1 => &mut tree.level1,
            2 => &mut tree.level2,
            _ => &mut tree.level3,
        };
        *level += 1;
        tree.max_depth = tree.max_depth.max(category.level);
        let children = below(category.category_id, by_parent, tree);
        let goods_below = category.goods + children.iter().map(|child| child.goods_below).sum::<u64>();
        CategoryNode { category: Some(category), children, goods_below }
    };
    categories.into_iter().map(node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn category(category_id: u64, parent_id: u64, level: u32, goods: u64) -> Category {
        Category { category_id, parent_id, level, goods, ..Category::default() }
    }

    /// A node as (id, goods below it, its children).
    fn shape(node: &CategoryNode) -> String {
        let children: Vec<_> = node.children.iter().map(shape).collect();
        let id = node.category.as_ref().map_or(0, |category| category.category_id);
        format!("{id}:{}[{}]", node.goods_below, children.join(" "))
    }

    #[test]
    fn a_tree_counts_its_levels_and_the_goods_below() {
        let flat = vec![
            category(1, 0, 1, 1),
            category(2, 5, 2, 2),
            category(3, 2, 3, 4),
            category(5, 0, 1, 0),
            category(6, 5, 2, 8),
            category(7, 2, 3, 16),
            category(9, 404, 2, 32),
        ];
        let tree = of(flat);
        let roots: Vec<_> = tree.roots.iter().map(shape).collect();
        assert_eq!(roots, ["1:1[]", "5:30[2:22[3:4[] 7:16[]] 6:8[]]"]);
        assert_eq!((tree.level1, tree.level2, tree.level3, tree.total, tree.max_depth), (2, 2, 2, 6, 3));
        assert_eq!(of(Vec::new()), GetCategoryTreeResponse::default());
    }
}
