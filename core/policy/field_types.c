/* SPDX-License-Identifier: MIT */
/* How the values of each kind of key are read, compared and written: sizes, times, choices, names. */
#include "policy/field_types.h"

#include <string.h>

struct unit {
    const char *suffix;
    uint64_t factor;
};

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* K, KB and KiB are all 1024, as container engines have it. */
static const struct unit size_units[] = {
    {"GiB", GIB}, {"MiB", MIB}, {"KiB", KIB}, {"", 1},     {"b", 1},   {"B", 1},   {"k", KIB},  {"K", KIB},
    {"KB", KIB},  {"m", MIB},   {"M", MIB},   {"MB", MIB}, {"g", GIB}, {"G", GIB}, {"GB", GIB}, {NULL, 0},
};
/* A bare number is seconds. */
static const struct unit time_units[] = {
    {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {"", 1000}, {NULL, 0},
};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

static gboolean refuse(char **why, const char *reason)
{
    *why = g_strdup(reason);
    return FALSE;
}

/* Decimal digits only; g_ascii_strtoull would take signs, spaces and a leading "0x". */
static gboolean parse_digits(const char *text, gsize length, uint64_t *number, char **why)
{
    if (length == 0 || !g_ascii_isdigit(text[0]))
        return refuse(why, text[0] == '-' ? "must not be negative" : "must start with a digit");
    if (length > 1 && text[0] == '0')
        return refuse(why, "must not start with 0");
    uint64_t sum = 0;
    for (gsize i = 0; i < length; i++) {
        uint64_t digit = (uint64_t) (text[i] - '0');
        if (sum > (UINT64_MAX - digit) / 10)
            return refuse(why, "is too large");
        sum = sum * 10 + digit;
    }
    *number = sum;
    return TRUE;
}

static gboolean parse_with_units(const char *text, const struct unit *units, const char *help, uint64_t *number,
                                 char **why)
{
    if (text[0] == '\0')
        return refuse(why, "is empty");
    if (strcmp(text, "unlimited") == 0 || strcmp(text, "max") == 0)
        return refuse(why, "there is no way to have no limit; name one");
    gsize digits = strspn(text, "0123456789");
    uint64_t count = 0;
    if (!parse_digits(text, digits, &count, why))
        return FALSE;
    const struct unit *unit = units;
    while (unit->suffix != NULL && strcmp(unit->suffix, text + digits) != 0)
        unit++;
    if (unit->suffix == NULL)
        return refuse(why, help);
    if (count > UINT64_MAX / unit->factor)
        return refuse(why, "is too large");
    *number = count * unit->factor;
    return TRUE;
}

static gboolean in_bounds(const struct dsb_field *field, uint64_t number, char *(*render)(uint64_t), char **why)
{
    if (number >= field->min && number <= field->max)
        return TRUE;
    g_autofree char *min = render(field->min);
    g_autofree char *max = render(field->max);
    *why = g_strdup_printf("must be from %s to %s", min, max);
    return FALSE;
}

static char *render_count(uint64_t count) { return g_strdup_printf("%" G_GUINT64_FORMAT, count); }

static char *render_quota(uint64_t quota) { return dsb_render_cpus(quota, DSB_CPU_PERIOD_US); }

char *dsb_render_bytes(uint64_t bytes)
{
    for (const struct unit *unit = size_units; unit->factor > 1 && bytes > 0; unit++) {
        if (bytes % unit->factor == 0)
            return g_strdup_printf("%" G_GUINT64_FORMAT "%s", bytes / unit->factor, unit->suffix);
    }
    return render_count(bytes);
}

char *dsb_render_ms(uint64_t ms)
{
    /* 24h and 15m, but 60s and not 1m: whole minutes below two are clearer in seconds. */
    for (const struct unit *unit = time_units; unit->suffix[0] != '\0'; unit++) {
        if (ms % unit->factor == 0 && (ms >= 2 * unit->factor || unit->factor <= 1000) && ms > 0)
            return g_strdup_printf("%" G_GUINT64_FORMAT "%s", ms / unit->factor, unit->suffix);
    }
    return g_strdup("0s");
}

char *dsb_render_cpus(uint64_t quota_us, uint64_t period_us)
{
    uint64_t fraction = period_us > 0 ? quota_us % period_us * 100000 / period_us : 0;
    uint64_t whole = period_us > 0 ? quota_us / period_us : 0;
    if (fraction == 0)
        return render_count(whole);
    char *text = g_strdup_printf("%" G_GUINT64_FORMAT ".%05u", whole, (unsigned) fraction);
    for (gsize n = strlen(text); text[n - 1] == '0'; n--)
        text[n - 1] = '\0';
    return text;
}

/* Numbers: size, count, time. Smaller is tighter for all of them. */

static gboolean number_within(const struct dsb_field *field, const struct dsb_value *value,
                              const struct dsb_value *bound)
{
    (void) field;
    return value->number <= bound->number;
}

static json_object *number_to_json(const struct dsb_field *field, const struct dsb_value *value)
{
    (void) field;
    return json_object_new_int64((int64_t) value->number); /* all upper bounds are far below 2^63 */
}

static json_object *new_pattern(const char *pattern)
{
    json_object *schema = json_object_new_object();
    json_object_object_add(schema, "type", json_object_new_string("string"));
    json_object_object_add(schema, "pattern", json_object_new_string(pattern));
    return schema;
}

static json_object *new_range(const char *type, json_object *min, json_object *max)
{
    json_object *schema = json_object_new_object();
    json_object_object_add(schema, "type", json_object_new_string(type));
    json_object_object_add(schema, "minimum", min);
    json_object_object_add(schema, "maximum", max);
    return schema;
}

static json_object *any_of(json_object *a, json_object *b)
{
    json_object *list = json_object_new_array();
    json_object_array_add(list, a);
    json_object_array_add(list, b);
    json_object *schema = json_object_new_object();
    json_object_object_add(schema, "anyOf", list);
    return schema;
}

static json_object *int_range(uint64_t min, uint64_t max)
{
    return new_range("integer", json_object_new_int64((int64_t) min), json_object_new_int64((int64_t) max));
}

static gboolean size_parse(const struct dsb_field *field, const char *text, struct dsb_value *value, char **why)
{
    uint64_t bytes = 0;
    if (!parse_with_units(text, size_units, "has an unknown unit; use B, KiB, MiB or GiB", &bytes, why))
        return FALSE;
    if (!in_bounds(field, bytes, dsb_render_bytes, why))
        return FALSE;
    value->number = bytes;
    return TRUE;
}

static char *size_render(const struct dsb_field *field, const struct dsb_value *value)
{
    (void) field;
    return dsb_render_bytes(value->number);
}

static json_object *size_schema(const struct dsb_field *field)
{
    return any_of(new_pattern("^(0|[1-9][0-9]*)(B|b|[Kk]|KB|KiB|[Mm]|MB|MiB|[Gg]|GB|GiB)?$"),
                  int_range(field->min, field->max));
}

const struct dsb_field_type dsb_type_size = {
    .unit = "bytes",
    .argument = "SIZE",
    .parse_text = size_parse,
    .render = size_render,
    .to_json = number_to_json,
    .within = number_within,
    .schema = size_schema,
};

/* "disk" stays a word until the policy is asked, since disk may be set after it. */
static gboolean size_or_disk_parse(const struct dsb_field *field, const char *text, struct dsb_value *value, char **why)
{
    if (strcmp(text, "disk") != 0)
        return size_parse(field, text, value, why);
    value->text = g_strdup("disk");
    return TRUE;
}

static json_object *size_or_disk_schema(const struct dsb_field *field)
{
    json_object *word = json_object_new_object();
    json_object_object_add(word, "const", json_object_new_string("disk"));
    return any_of(word, size_schema(field));
}

const struct dsb_field_type dsb_type_size_or_disk = {
    .unit = "bytes",
    .argument = "SIZE",
    .parse_text = size_or_disk_parse,
    .render = size_render,
    .to_json = number_to_json,
    .within = number_within,
    .schema = size_or_disk_schema,
};

static gboolean count_parse(const struct dsb_field *field, const char *text, struct dsb_value *value, char **why)
{
    uint64_t count = 0;
    if (!parse_with_units(text, no_units, "must be a whole number without a unit", &count, why))
        return FALSE;
    if (!in_bounds(field, count, render_count, why))
        return FALSE;
    value->number = count;
    return TRUE;
}

static char *count_render(const struct dsb_field *field, const struct dsb_value *value)
{
    (void) field;
    return render_count(value->number);
}

static json_object *count_schema(const struct dsb_field *field)
{
    return any_of(int_range(field->min, field->max), new_pattern("^(0|[1-9][0-9]*)$"));
}

const struct dsb_field_type dsb_type_count = {
    .unit = "count",
    .argument = "N",
    .parse_text = count_parse,
    .render = count_render,
    .to_json = number_to_json,
    .within = number_within,
    .schema = count_schema,
};

static gboolean time_parse(const struct dsb_field *field, const char *text, struct dsb_value *value, char **why)
{
    uint64_t ms = 0;
    const char *help = "must be a whole number of seconds, or one with ms, s, m or h";
    if (!parse_with_units(text, time_units, help, &ms, why))
        return FALSE;
    if (!in_bounds(field, ms, dsb_render_ms, why))
        return FALSE;
    value->number = ms;
    return TRUE;
}

static char *time_render(const struct dsb_field *field, const struct dsb_value *value)
{
    (void) field;
    return dsb_render_ms(value->number);
}

/* With its unit: a bare number in a policy file is seconds, and the canonical form must read back as itself. */
static json_object *time_to_json(const struct dsb_field *field, const struct dsb_value *value)
{
    (void) field;
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT "ms", value->number);
    return json_object_new_string(text);
}

static json_object *time_schema(const struct dsb_field *field)
{
    return any_of(new_pattern("^(0|[1-9][0-9]*)(ms|s|m|h)?$"), int_range((field->min + 999) / 1000, field->max / 1000));
}

const struct dsb_field_type dsb_type_time = {
    .unit = "seconds",
    .argument = "TIME",
    .parse_text = time_parse,
    .render = time_render,
    .to_json = time_to_json,
    .within = number_within,
    .schema = time_schema,
};

/* Processors: decimal, exact to a hundred-thousandth, which is one microsecond of the period. */
static gboolean cpus_parse(const struct dsb_field *field, const char *text, struct dsb_value *value, char **why)
{
    if (text[0] == '\0')
        return refuse(why, "is empty");
    gsize digits = strspn(text, "0123456789");
    uint64_t whole = 0, fraction = 0;
    if (!parse_digits(text, digits, &whole, why))
        return FALSE;
    const char *rest = text + digits;
    if (rest[0] == '.') {
        gsize places = strspn(rest + 1, "0123456789");
        if (places == 0 || places > 5)
            return refuse(why, "must have one to five digits after the point");
        for (gsize i = 0; i < 5; i++)
            fraction = fraction * 10 + (uint64_t) (i < places ? rest[1 + i] - '0' : 0);
        rest += 1 + places;
    }
    if (rest[0] != '\0')
        return refuse(why, "must be a decimal number like 1 or 0.5");
    if (whole > field->max / DSB_CPU_PERIOD_US)
        return in_bounds(field, UINT64_MAX, render_quota, why);
    uint64_t quota = whole * DSB_CPU_PERIOD_US + fraction;
    if (!in_bounds(field, quota, render_quota, why))
        return FALSE;
    value->number = quota;
    return TRUE;
}

static char *cpus_render(const struct dsb_field *field, const struct dsb_value *value)
{
    (void) field;
    return render_quota(value->number);
}

static json_object *cpus_to_json(const struct dsb_field *field, const struct dsb_value *value)
{
    (void) field;
    g_autofree char *text = render_quota(value->number);
    if (strchr(text, '.') == NULL)
        return json_object_new_int64((int64_t) (value->number / DSB_CPU_PERIOD_US));
    return json_object_new_double_s((double) value->number / (double) DSB_CPU_PERIOD_US, text);
}

static json_object *cpus_schema(const struct dsb_field *field)
{
    g_autofree char *min = render_quota(field->min);
    return any_of(new_range("number", json_object_new_double_s((double) field->min / (double) DSB_CPU_PERIOD_US, min),
                            json_object_new_int64((int64_t) (field->max / DSB_CPU_PERIOD_US))),
                  new_pattern("^(0|[1-9][0-9]*)(\\.[0-9]{1,5})?$"));
}

const struct dsb_field_type dsb_type_cpus = {
    .unit = "cpus",
    .argument = "N",
    .parse_text = cpus_parse,
    .render = cpus_render,
    .to_json = cpus_to_json,
    .within = number_within,
    .schema = cpus_schema,
};

/* One of a few words, the tightest first. */
static gboolean choice_parse(const struct dsb_field *field, const char *text, struct dsb_value *value, char **why)
{
    for (unsigned i = 0; field->choices[i] != NULL; i++) {
        if (strcmp(field->choices[i], text) == 0) {
            value->number = i;
            return TRUE;
        }
    }
    g_autofree char *words = g_strjoinv(" or ", (char **) field->choices);
    *why = g_strdup_printf("must be %s%s", words, field->choices[1] == NULL ? "; nothing else is possible" : "");
    return FALSE;
}

static gboolean choice_parse_json(const struct dsb_field *field, json_object *json, struct dsb_value *value, char **why)
{
    if (!json_object_is_type(json, json_type_string))
        return refuse(why, "a string is expected");
    return choice_parse(field, json_object_get_string(json), value, why);
}

static char *choice_render(const struct dsb_field *field, const struct dsb_value *value)
{
    return g_strdup(field->choices[value->number]);
}

static json_object *choice_to_json(const struct dsb_field *field, const struct dsb_value *value)
{
    return json_object_new_string(field->choices[value->number]);
}

static json_object *choice_schema(const struct dsb_field *field)
{
    json_object *words = json_object_new_array();
    for (unsigned i = 0; field->choices[i] != NULL; i++)
        json_object_array_add(words, json_object_new_string(field->choices[i]));
    json_object *schema = json_object_new_object();
    json_object_object_add(schema, "enum", words);
    return schema;
}

const struct dsb_field_type dsb_type_choice = {
    .unit = "name",
    .parse_text = choice_parse,
    .parse_json = choice_parse_json,
    .render = choice_render,
    .to_json = choice_to_json,
    .within = number_within,
    .schema = choice_schema,
};

static gboolean bool_parse(const struct dsb_field *field, const char *text, struct dsb_value *value, char **why)
{
    gboolean yes = strcmp(text, "true") == 0;
    if (!yes && strcmp(text, "false") != 0)
        return refuse(why, "must be true or false");
    if (!yes && field->min > 0)
        return refuse(why, "must be true; nothing else is possible");
    value->number = yes ? 1 : 0;
    return TRUE;
}

static gboolean bool_parse_json(const struct dsb_field *field, json_object *json, struct dsb_value *value, char **why)
{
    if (!json_object_is_type(json, json_type_boolean))
        return refuse(why, "true or false is expected, without quotes");
    return bool_parse(field, json_object_get_boolean(json) ? "true" : "false", value, why);
}

static char *bool_render(const struct dsb_field *field, const struct dsb_value *value)
{
    (void) field;
    return g_strdup(value->number != 0 ? "true" : "false");
}

static json_object *bool_to_json(const struct dsb_field *field, const struct dsb_value *value)
{
    (void) field;
    return json_object_new_boolean(value->number != 0);
}

static json_object *bool_schema(const struct dsb_field *field)
{
    json_object *schema = json_object_new_object();
    if (field->min > 0)
        json_object_object_add(schema, "const", json_object_new_boolean(TRUE));
    else
        json_object_object_add(schema, "type", json_object_new_string("boolean"));
    return schema;
}

const struct dsb_field_type dsb_type_bool = {
    .unit = "name",
    .argument = "true|false",
    .parse_text = bool_parse,
    .parse_json = bool_parse_json,
    .render = bool_render,
    .to_json = bool_to_json,
    .within = number_within,
    .schema = bool_schema,
};

/* Names and users have no order: locked means equal. */
static gboolean text_within(const struct dsb_field *field, const struct dsb_value *value, const struct dsb_value *bound)
{
    (void) field;
    return strcmp(value->text, bound->text) == 0;
}

static char *text_render(const struct dsb_field *field, const struct dsb_value *value)
{
    (void) field;
    return g_strdup(value->text);
}

static json_object *text_to_json(const struct dsb_field *field, const struct dsb_value *value)
{
    (void) field;
    return json_object_new_string(value->text);
}

static gboolean name_parse(const struct dsb_field *field, const char *text, struct dsb_value *value, char **why)
{
    (void) field;
    gsize length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._-");
    if (length == 0 || length > 63 || text[length] != '\0' || !g_ascii_isalnum(text[0]))
        return refuse(why, "must be a name of a-z, 0-9, '.', '_', '-', at most 63, the first a letter or digit");
    value->text = g_strdup(text);
    return TRUE;
}

static json_object *name_schema(const struct dsb_field *field)
{
    (void) field;
    return new_pattern("^[a-z0-9][a-z0-9._-]{0,62}$");
}

const struct dsb_field_type dsb_type_name = {
    .unit = "name",
    .argument = "NAME",
    .parse_text = name_parse,
    .render = text_render,
    .to_json = text_to_json,
    .within = text_within,
    .schema = name_schema,
};

static gboolean id_parse(const struct dsb_field *field, const char *text, gsize length, uint64_t *id, char **why)
{
    if (length == 0 || strspn(text, "0123456789") < length)
        return refuse(why, "must be auto, UID or UID:GID, in digits");
    if (!parse_digits(text, length, id, why))
        return FALSE;
    if (*id == 0)
        return refuse(why, "must not have 0: root is never possible");
    return in_bounds(field, *id, render_count, why);
}

static gboolean user_parse(const struct dsb_field *field, const char *text, struct dsb_value *value, char **why)
{
    if (strcmp(text, "auto") == 0) {
        value->text = g_strdup(text);
        return TRUE;
    }
    uint64_t uid = 0, gid = 0;
    gsize length = strcspn(text, ":");
    if (!id_parse(field, text, length, &uid, why))
        return FALSE;
    const char *group = text[length] == ':' ? text + length + 1 : text;
    if (!id_parse(field, group, text[length] == ':' ? strlen(group) : length, &gid, why))
        return FALSE;
    value->text = g_strdup_printf("%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT, uid, gid);
    return TRUE;
}

static json_object *user_schema(const struct dsb_field *field)
{
    return any_of(new_pattern("^(auto|[1-9][0-9]*(:[1-9][0-9]*)?)$"), int_range(field->min, field->max));
}

const struct dsb_field_type dsb_type_user = {
    .unit = "name",
    .argument = "UID[:GID]",
    .parse_text = user_parse,
    .render = text_render,
    .to_json = text_to_json,
    .within = text_within,
    .schema = user_schema,
};

gboolean dsb_value_user(const struct dsb_value *value, uint32_t *uid, uint32_t *gid)
{
    const char *colon = strchr(value->text, ':');
    if (colon == NULL)
        return FALSE;
    *uid = (uint32_t) g_ascii_strtoull(value->text, NULL, 10);
    *gid = (uint32_t) g_ascii_strtoull(colon + 1, NULL, 10);
    return TRUE;
}
