"""What requests take and answers hold, beyond the records of `fairway.spec`: one struct each, with its limits; one file a noun."""
