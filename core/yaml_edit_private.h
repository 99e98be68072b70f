/* SPDX-License-Identifier: MIT
 *
 * Private to core/yaml_edit*.c. An edit goes in rounds. One round: the text is parsed twice, by doc.h (what it says) and into
 * spans (where it stands); the plan says on the document's nodes what changes; placing turns the plan into splices of the text;
 * the new text is parsed the same way and the check compares the two documents, the plan in hand.
 *
 * Offsets count bytes from behind the byte order mark.
 */
#ifndef MILESTONEFS_YAML_EDIT_PRIVATE_H
#define MILESTONEFS_YAML_EDIT_PRIVATE_H

#include "doc.h"
#include "yaml_edit.h"

/* --- spans (yaml_edit_span.c) --- */

enum span_shape {
	SPAN_EMPTY, /* nothing is written, but perhaps an anchor or a tag */
	SPAN_ALIAS,
	SPAN_SCALAR,       /* plain or quoted */
	SPAN_BLOCK_SCALAR, /* | or > */
	SPAN_FLOW,         /* [ ] or { } */
	SPAN_BLOCK,        /* block sequence or mapping */
};

/** Where one node stands. Links are indices into yaml_spans.items, 0 is none. */
struct span {
	uint32_t start;        /* its anchor and tag included */
	uint32_t content;      /* behind these; SPAN_EMPTY: == end */
	uint32_t end;          /* behind its last character; SPAN_BLOCK: its last node's; SPAN_BLOCK_SCALAR: before its last line break */
	uint32_t anchor_end;   /* behind the anchor; 0: there is none */
	uint32_t tag, tag_end; /* equal: there is none */
	uint32_t colon_end;    /* members: behind the ':'; 0: there is none, as in {a} or "? a" */
	uint32_t key;          /* members: the key's span */
	uint32_t child, last, next;
	enum span_shape shape;
	bool mapping;
};

struct yaml_spans {
	const char *text; /* borrowed, without the byte order mark */
	uint32_t len;
	struct span *items; /* [0] is unused */
	size_t count, cap;
	uint32_t root; /* of the first document, 0: there is no document */
	uint32_t rest; /* bytes from the second document's start to the end of the text; 0: there is none */
};

/** @text must have passed doc_parse_yaml(). 0, -EFBIG, -ENOMEM, -EBADMSG (no reason set). Release in any case. */
int yaml_spans_parse(struct yaml_spans *s, const char *text, size_t len);
void yaml_spans_release(struct yaml_spans *s);

/** Bytes of the line break at @at as YAML 1.1 sees it (CRLF is one): 0 when there is none. */
uint32_t yaml_break_at(const struct yaml_spans *s, uint32_t at);
/** Start of the line @at is in; where it ends, before its break; and the start of the next (the text's end if there is none). */
uint32_t yaml_line_start(const struct yaml_spans *s, uint32_t at);
uint32_t yaml_line_end(const struct yaml_spans *s, uint32_t at);
uint32_t yaml_line_next(const struct yaml_spans *s, uint32_t at);
/** Are there only spaces from @at to the end of its line? */
bool yaml_line_is_empty(const struct yaml_spans *s, uint32_t at);
/** Behind the indicators of a block scalar that begins at @at. */
uint32_t yaml_block_header_end(const struct yaml_spans *s, uint32_t at);
/** Behind spaces and tabs; and behind these, line breaks and comments. */
uint32_t yaml_skip_blanks(const struct yaml_spans *s, uint32_t at);
uint32_t yaml_skip_space(const struct yaml_spans *s, uint32_t at);

/* --- aliases (yaml_edit_check.c) --- */

struct alias_target {
	const struct doc_node *node;
	const struct doc_node *now; /* its like in the edited document, once the comparison has come by */
	size_t refs;                /* aliases that name it */
	size_t inside;              /* while a subtree is looked at: how many of these are in it */
	bool within;                /* likewise: the target is in it itself */
};

/** The nodes of a document that aliases name, by address. */
struct alias_targets {
	struct alias_target *items;
	size_t count, cap;
};

int yaml_aliases_collect(struct alias_targets *a, const struct doc_node *root);
struct alias_target *yaml_aliases_find(const struct alias_targets *a, const struct doc_node *node);
/** Is anything in this subtree named by an alias outside of it? */
bool yaml_aliases_reach_into(struct alias_targets *a, const struct doc_node *root);

/* --- the plan (yaml_edit_plan.c) --- */

/** A member to add: a value, or a mapping of more such. */
struct new_member {
	const char *name; /* borrowed from the edit's path */
	size_t name_len;
	const char *value; /* borrowed; NULL: a mapping */
	const struct doc_node *value_node;
	struct new_member *child, *next;
};

/** What changes at one node: its value, or (value == NULL) members are added to it. */
struct change {
	const struct doc_node *node; /* NULL: there is no document yet */
	uint32_t span;               /* its place; 0 with node */
	uint32_t map;                /* the mapping it is a member of; 0: it is the root */
	unsigned depth;
	const char *path; /* of the first edit that made it: for messages */
	const char *value;
	const struct doc_node *value_node;
	struct new_member *members;
	bool before_last; /* members stand before the mapping's last one instead of behind it */
};

struct yaml_plan {
	const struct doc_node *root;
	const struct yaml_spans *spans;
	struct alias_targets aliases;
	struct change *changes; /* room for each edit */
	size_t change_count;
	struct new_member *members; /* room for each name of each path */
	size_t member_count;
};

/** @edit_count and @name_count bound what will be added. 0 or -ENOMEM; release in any case. */
int yaml_plan_init(struct yaml_plan *p, const struct doc_node *root, const struct yaml_spans *spans, size_t edit_count, size_t name_count);
void yaml_plan_release(struct yaml_plan *p);
/**
 * Add an edit; @before are the edits of this round so far. 0 (planned, or nothing to do); -EAGAIN: it touches what an earlier one
 * changes and belongs into the next round; -EBADMSG with reason.
 */
int yaml_plan_add(struct yaml_plan *p, const struct yaml_edit *before, size_t before_count, const struct yaml_edit *edit, const struct doc_node *value_node,
	struct reason *reason);
const struct change *yaml_plan_find(const struct yaml_plan *p, const struct doc_node *node);

/* --- placing (yaml_edit_place.c, yaml_edit_insert.c) --- */

struct splice {
	uint32_t at, removed;
	size_t text, text_len; /* within yaml_splices.texts */
	unsigned depth, order;
};

struct yaml_splices {
	const struct yaml_spans *spans;
	const char *newline;
	struct splice *items;
	size_t count, cap;
	struct buf texts;
	int error; /* sticky */
};

void yaml_splices_init(struct yaml_splices *s, const struct yaml_spans *spans);
void yaml_splices_release(struct yaml_splices *s);
/** Put @text in the place of @removed bytes. Of insertions at one place the deeper stands first. */
void yaml_splice(struct yaml_splices *s, uint32_t at, uint32_t removed, unsigned depth, const char *text, size_t text_len);
/** Place the change of a value, or of a mapping. */
void yaml_place_value(struct yaml_splices *s, const struct change *c, const char *value, size_t value_len);
void yaml_place_members(struct yaml_splices *s, const struct change *c);
/**
 * Does a mapping end, with the text, in a block scalar without a line break? Then nothing can stand behind it: the line break would
 * become part of the scalar.
 */
bool yaml_ends_open(const struct yaml_spans *s, uint32_t map);
/** Take the tag of a value away, with the blanks that parted it from what stands beside it. */
void yaml_place_untag(struct yaml_splices *s, const struct change *c);
/** Characters between the start of the line and @at. */
uint32_t yaml_column(const struct yaml_spans *s, uint32_t at);
/** Where a block mapping's keys begin, in characters from the start of their lines. */
uint32_t yaml_block_column(const struct yaml_spans *s, const struct span *map);
/** Is what is a member of this mapping (NULL: the root) written in flow style? */
bool yaml_in_flow(const struct yaml_spans *s, uint32_t map);
/** Append the edited text. 0; -ENOMEM; -EBADMSG when splices overlap. */
int yaml_splices_apply(struct yaml_splices *s, struct buf *out);

/* --- the check (yaml_edit_check.c) --- */

/** Is this key that name, as doc_get() compares them? */
bool yaml_key_is(const struct doc_node *key, const char *name, size_t len);
/** Do these say the same? Anchors resolved; numbers by their text; of @a no more is visited than @b has. */
bool yaml_nodes_equal(const struct doc_node *a, const struct doc_node *b);
/**
 * Is the document @now, which stands at @spans, what the plan makes of its own, and nothing else? The further documents of the text
 * must be the same to the byte.
 */
bool yaml_plan_holds(struct yaml_plan *p, const struct doc_node *now, const struct yaml_spans *spans);

#endif
