/* SPDX-License-Identifier: MIT
 *
 * L6. The TABLE of content rules: what a file must be for a commit to be
 * accepted. A new rule is one row here and one function; rules that apply to one path
 * are asked in this order and the first refusal counts.
 *
 *   RULE(id, NAME, "name", GLOBS("pattern", ...), flags, function)
 *
 * id        number, frozen for ever: it is recorded in journals; never reused
 * NAME      makes the enumerator RULE_<NAME>
 * "name"    what people read as the rule of a refusal (at most 31 characters)
 * GLOBS     one to four patterns (glob.h) on paths relative to the mount's root
 * flags     RULE_FLAG_…, see rule.h
 * function  int function(const struct rule_input *, struct reason *): 0, -EBADMSG or -ENOMEM;
 *           the text is not empty and within the size bound
 */
RULE(1, WELLFORMED_YAML, "wellformed_yaml", GLOBS("*.yaml", "*.yml"), 0, rule_wellformed_yaml)
RULE(2, WELLFORMED_JSON, "wellformed_json", GLOBS("*.json"), 0, rule_wellformed_json)
RULE(3, WELLFORMED_JSONL, "wellformed_jsonl", GLOBS("*.jsonl"), RULE_FLAG_LINES, rule_wellformed_jsonl)
RULE(4, CONFIG, "config", GLOBS("status/config.yaml"), RULE_FLAG_SCHEMA | RULE_FLAG_REFUSE_LARGE, rule_config)
RULE(5, SESSION, "session", GLOBS("state/sessions/*/session.yaml"), RULE_FLAG_SCHEMA | RULE_FLAG_REFUSE_LARGE, rule_session)
RULE(6, AGENT, "agent", GLOBS("state/sessions/*/agents/[A-Za-z0-9]*.yaml"), RULE_FLAG_SCHEMA | RULE_FLAG_REFUSE_LARGE, rule_agent)
RULE(7, PARTICIPANTS, "participants", GLOBS("state/sessions/*/agents/.sync/*/participants"), RULE_FLAG_SCHEMA | RULE_FLAG_REFUSE_LARGE, rule_participants)
RULE(8, TIMEOUT, "timeout", GLOBS("state/sessions/*/agents/.sync/*/timeout"), RULE_FLAG_SCHEMA | RULE_FLAG_REFUSE_LARGE, rule_timeout)
