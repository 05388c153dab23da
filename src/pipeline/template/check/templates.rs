//! Templates in each other: includes, imports, and blocks of parents and children.

use minijinja::machinery::Span;
use minijinja::machinery::ast::{Block, Expr, FromImport, Import, Include, Spanned, Stmt};

use super::super::rewrite::Mode;
use super::names::closest;
use super::{Check, Flow, Frame, Known, MacroRef, Override, Region};

impl<'s> Check<'_, 's> {
    /// Walks a file from where the flow is; the flow is where it ends.
    pub(super) fn template(&mut self, file: usize, mode: Mode) {
        self.out.needed.insert((file, mode));
        let Some(Stmt::Template(tree)) = &self.files[file].tree else { return };
        self.stack.push((file, None));
        let around = (self.file, self.region);
        (self.file, self.region) = (file, Region::Body(mode));
        match tree.children.iter().find_map(|statement| if let Stmt::Extends(extends) = statement { Some(extends) } else { None }) {
            Some(extends) => {
                self.collect_blocks(&tree.children);
                let flow = std::mem::replace(&mut self.flow, Flow::Nowhere);
                for statement in tree.children.iter().filter(|statement| !matches!(statement, Stmt::Block(_) | Stmt::Extends(_))) {
                    self.statement(statement);
                }
                self.flow = flow;
                for parent in self.template_names(&extends.name, Mode::Json) {
                    if self.enters(parent, extends.span()) {
                        self.template(parent, mode);
                    }
                }
            }
            None => self.body(&tree.children),
        }
        (self.file, self.region) = around;
        self.stack.pop();
    }

    /// False, with a finding, for a file that is being walked already.
    fn enters(&mut self, file: usize, span: Span) -> bool {
        let again = self.stack.contains(&(file, None));
        if again {
            let finding = self.wrong_at("missing-template", span, format!("`{}` includes itself", self.files[file].name));
            self.find(finding);
        }
        !again
    }

    fn collect_blocks(&mut self, statements: &'s [Stmt<'s>]) {
        for statement in statements {
            if let Stmt::Block(block) = statement {
                let found = Override { file: self.file, region: self.region, block };
                self.blocks.entry(block.name).or_default().push(found);
                self.collect_blocks(&block.body);
            }
        }
    }

    /// A block stands where its oldest parent has it, with the youngest child's body.
    pub(super) fn block(&mut self, block: &'s Spanned<Block<'s>>) {
        let own = Override { file: self.file, region: self.region, block };
        let chain = self.blocks.entry(block.name).or_default();
        if !chain.iter().any(|known| std::ptr::eq(known.block, block)) {
            chain.push(own);
        }
        let youngest = chain[0];
        self.in_block.push((block.name, 0));
        self.override_body(youngest);
        self.in_block.pop();
    }

    fn override_body(&mut self, of: Override<'s>) {
        let around = (self.file, self.region);
        (self.file, self.region) = (of.file, of.region);
        self.inner(&of.block.body);
        (self.file, self.region) = around;
    }

    /// `{{ super() }}`: what the parent's block prints stands here.
    pub(super) fn parent_block(&mut self, span: Span) {
        let Some((name, depth)) = self.in_block.last().copied() else {
            return self.unsupported(span, "`super()` outside a block", "it prints what the parent's block of the same name holds");
        };
        let Some(parent) = self.blocks.get(name).and_then(|chain| chain.get(depth + 1)).copied() else {
            let finding = self.wrong_at("unknown-function", span, format!("no parent has a block `{name}`"));
            return self.find(finding);
        };
        self.in_block.push((name, depth + 1));
        self.override_body(parent);
        self.in_block.pop();
    }

    pub(super) fn include(&mut self, include: &'s Spanned<Include<'s>>) {
        let Some(mode) = self.flow.mode() else {
            let finding = self.wrong_at("json-context", include.span(), "an include in the middle of an escape sequence");
            return self.find(finding);
        };
        let start = self.flow;
        let mut ends: Vec<Flow> = Vec::new();
        for file in self.template_names(&include.name, mode) {
            if self.enters(file, include.span()) {
                self.flow = start;
                self.scopes.push(Frame::new());
                self.template(file, mode);
                self.scopes.pop();
                ends.push(self.flow);
            }
        }
        if ends.windows(2).any(|pair| !pair[0].same(pair[1])) {
            let finding =
                self.wrong_at("json-context", include.span(), "one of these templates leaves a JSON string open, another does not");
            self.find(finding);
        }
        self.flow = ends.first().copied().unwrap_or(start);
    }

    pub(super) fn import(&mut self, import: &'s Spanned<Import<'s>>) {
        if let Some(file) = self.template_names(&import.expr, Mode::Json).first().copied() {
            self.imported(file);
            self.assign(&import.name, Known { module: Some(file), ..Known::default() });
        }
    }

    pub(super) fn names_from(&mut self, import: &'s Spanned<FromImport<'s>>) {
        let Some(file) = self.template_names(&import.expr, Mode::Json).first().copied() else { return };
        self.imported(file);
        let frame = self.module_frame(file);
        for (name, alias) in &import.names {
            let Expr::Var(var) = name else { continue };
            let found = frame.iter().find(|(known, _)| *known == var.id).map(|(_, known)| known.clone());
            if found.is_none() {
                let names: Vec<&str> = frame.iter().map(|(name, _)| *name).collect();
                let finding =
                    self.wrong_at("unknown-function", var.span(), format!("`{}` has no macro `{}`", self.files[file].name, var.id));
                self.unknown(finding, var.id, &names, None);
            }
            self.assign(alias.as_ref().unwrap_or(name), found.unwrap_or_default());
        }
    }

    /// An imported file takes part, and so does what it imports itself.
    fn imported(&mut self, file: usize) {
        if !self.out.needed.insert((file, Mode::Json)) {
            return;
        }
        let Some(Stmt::Template(tree)) = &self.files[file].tree else { return };
        for statement in &tree.children {
            let name = match statement {
                Stmt::Import(import) => &import.expr,
                Stmt::FromImport(import) => &import.expr,
                _ => continue,
            };
            if let Some(next) = self.constant_file(name) {
                self.imported(next);
            }
        }
    }

    /// What a file's top level defines: its macros, its imports and its variables.
    pub(super) fn module_frame(&self, file: usize) -> Frame<'s> {
        let mut frame = Frame::new();
        let Some(Stmt::Template(tree)) = &self.files[file].tree else { return frame };
        for statement in &tree.children {
            match statement {
                Stmt::Macro(decl) => frame.push((decl.name, Known { callee: Some(MacroRef { file, decl }), ..Known::default() })),
                Stmt::Set(set) => {
                    if let Expr::Var(var) = &set.target {
                        frame.push((var.id, Known::default()));
                    }
                }
                Stmt::Import(import) => {
                    if let Expr::Var(name) = &import.name {
                        frame.push((name.id, Known { module: self.constant_file(&import.expr), ..Known::default() }));
                    }
                }
                Stmt::FromImport(import) => {
                    for (name, alias) in &import.names {
                        let (Expr::Var(name), Some(from)) = (name, self.constant_file(&import.expr)) else { continue };
                        let bound = if let Some(Expr::Var(alias)) = alias { alias.id } else { name.id };
                        frame.push((bound, Known { callee: self.macro_of(from, name.id), ..Known::default() }));
                    }
                }
                _ => {}
            }
        }
        frame
    }

    pub(super) fn macros_of(&self, file: usize) -> Vec<MacroRef<'s>> {
        self.module_frame(file).into_iter().filter_map(|(_, known)| known.callee).filter(|callee| callee.file == file).collect()
    }

    pub(super) fn macro_of(&self, file: usize, name: &str) -> Option<MacroRef<'s>> {
        let Some(Stmt::Template(tree)) = &self.files[file].tree else { return None };
        tree.children.iter().find_map(|statement| match statement {
            Stmt::Macro(decl) if decl.name == name => Some(MacroRef { file, decl }),
            _ => None,
        })
    }

    fn constant_file(&self, expr: &'s Expr<'s>) -> Option<usize> {
        let Expr::Const(name) = expr else { return None };
        self.by_name.get(name.value.as_str()?).copied()
    }

    /// The files that an include, import or extends names; each name is given the suffix of the mode that its file is compiled for.
    fn template_names(&mut self, expr: &'s Expr<'s>, mode: Mode) -> Vec<usize> {
        match expr {
            Expr::Const(name) if name.value.as_str().is_some() => {
                let wanted = name.value.as_str().unwrap_or_default();
                let Some(file) = self.by_name.get(wanted).copied() else {
                    let finding = self.wrong_at("missing-template", name.span(), format!("there is no template `{wanted}`"));
                    let hint = match closest(wanted, self.by_name.keys().copied()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "names are relative to transforms/".to_owned(),
                    };
                    self.find(finding.hint(hint));
                    return Vec::new();
                };
                if !mode.suffix().is_empty() {
                    // before the closing quote
                    self.insert(name.span().end_offset as usize - 1, mode.suffix());
                }
                vec![file]
            }
            Expr::List(list) => list.items.iter().flat_map(|item| self.template_names(item, mode)).collect(),
            Expr::IfExpr(choice) => {
                self.value(&choice.test_expr, false);
                let mut files = self.template_names(&choice.true_expr, mode);
                files.extend(choice.false_expr.iter().flat_map(|otherwise| self.template_names(otherwise, mode)));
                files
            }
            other => {
                let finding = self.wrong_at(
                    "missing-template",
                    other.span(),
                    "the name of a template must be written out, so that it can be checked",
                );
                self.find(finding.hint("choose between names with `if`: `{% include \"a.j2\" if x else \"b.j2\" %}`"));
                Vec::new()
            }
        }
    }
}
