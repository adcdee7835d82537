"""What stands beside the model where it is served: the schema of requests and answers, and a request that works."""

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Which emojis go with a text?",
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "inputs": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/text"}},
        "outputs": {"type": "array", "items": {"$ref": "#/$defs/answer"}},
    },
    "$defs": {
        "text": {
            "type": "object",
            "required": ["text"],
            "additionalProperties": False,
            "properties": {"text": {"type": "string", "minLength": 1, "maxLength": 1000, "description": "A short text, in English"}},
        },
        "answer": {
            "type": "object",
            "required": ["emojis"],
            "properties": {
                "emojis": {
                    "type": "array",
                    "description": "The five most likely, the likeliest first",
                    "items": {
                        "type": "object",
                        "required": ["emoji", "score"],
                        "properties": {"emoji": {"type": "string"}, "score": {"type": "number", "minimum": 0, "maximum": 1}},
                    },
                }
            },
        },
    },
}
EXAMPLE = {"inputs": [{"text": "Merry Christmas to all of you!"}, {"text": "sunny day at the beach"}]}
