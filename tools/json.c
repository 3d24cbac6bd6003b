/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>

struct json_object *sksm_json_text(const char *text)
{
	return text ? json_object_new_string(text) : NULL;
}

int sksm_json_print(struct json_object *object)
{
	const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
							  JSON_C_TO_STRING_NOSLASHESCAPE);

	if (text)
		puts(text);
	json_object_put(object);
	return text ? 0 : -ENOMEM;
}
