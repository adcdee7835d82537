# Serves a script of the user's: reads one R expression a line, answers with one line of JSON. Needs nothing but base R.
# The script defines run(data) and, if something is to be loaded once, init(). `data` is a data.frame of the request's rows; where the
# parameter is called raw_data, json or body it is the request's text. If there is no run, what init() returned is called with the text.

.fairway <- new.env()

.fairway$quote <- function(x) {
  x <- enc2utf8(x)
  missing <- is.na(x)
  x <- gsub("\\", "\\\\", x, fixed = TRUE)
  x <- gsub("\"", "\\\"", x, fixed = TRUE)
  if (any(grepl("[[:cntrl:]]", x[!missing]))) {
    for (code in 1:31) x <- gsub(intToUtf8(code), sprintf("\\u%04x", code), x, fixed = TRUE)
  }
  x <- paste0("\"", x, "\"")
  x[missing] <- "null"
  x
}

.fairway$scalars <- function(x) {
  if (is.factor(x)) x <- as.character(x)
  if (inherits(x, "POSIXt")) x <- format(x, "%Y-%m-%dT%H:%M:%S%z")
  if (inherits(x, "Date")) x <- format(x, "%Y-%m-%d")
  if (is.character(x)) return(.fairway$quote(x))
  if (is.logical(x)) return(ifelse(is.na(x), "null", ifelse(x, "true", "false")))
  if (is.integer(x)) return(ifelse(is.na(x), "null", sprintf("%d", x)))
  if (is.numeric(x)) {
    short <- sprintf("%.15g", x)
    inexact <- is.finite(x) & as.numeric(short) != x
    short[inexact] <- sprintf("%.17g", x[inexact])
    short[!is.finite(x)] <- "null"
    return(short)
  }
  stop("a ", class(x)[1], " cannot be written as JSON; return numbers, text, lists, vectors or a data.frame")
}

.fairway$json <- function(x, unbox = FALSE) {
  if (is.null(x)) return("null")
  if (inherits(x, "json")) return(paste(as.character(x), collapse = ""))
  if (is.raw(x)) {
    type <- attr(x, "content_type")
    if (is.null(type)) type <- "application/octet-stream"
    return(sprintf("{\"$raw\":\"%s\",\"type\":%s}", paste(as.character(x), collapse = ""), .fairway$quote(type)))
  }
  if (is.data.frame(x)) {
    if (nrow(x) == 0) return("[]")
    columns <- lapply(seq_along(x), function(at) paste0(.fairway$quote(names(x)[at]), ":", .fairway$cells(x[[at]])))
    return(paste0("[", paste(paste0("{", do.call(paste, c(columns, sep = ",")), "}"), collapse = ","), "]"))
  }
  if (is.matrix(x)) {
    rows <- apply(x, 1, function(row) paste0("[", paste(.fairway$scalars(row), collapse = ","), "]"))
    return(paste0("[", paste(rows, collapse = ","), "]"))
  }
  if (is.list(x)) {
    parts <- vapply(x, .fairway$json, "", unbox = TRUE)
    if (is.null(names(x))) return(paste0("[", paste(parts, collapse = ","), "]"))
    return(paste0("{", paste(paste0(.fairway$quote(names(x)), ":", parts), collapse = ","), "}"))
  }
  parts <- .fairway$scalars(x)
  if (unbox && length(parts) == 1 && !inherits(x, "AsIs")) parts else paste0("[", paste(parts, collapse = ","), "]")
}

.fairway$cells <- function(column) {
  if (is.list(column)) vapply(column, .fairway$json, "", unbox = TRUE)
  else if (is.matrix(column)) apply(column, 1, function(row) .fairway$json(as.vector(row)))
  else .fairway$scalars(column)
}

.fairway$say <- function(text) {
  writeLines(enc2utf8(text), .fairway$out, useBytes = TRUE)
  flush(.fairway$out)
}

.fairway$guarded <- function(work) {
  calls <- NULL
  tryCatch(
    withCallingHandlers(work(), error = function(problem) calls <<- sys.calls()),
    error = function(problem) {
      where <- if (is.null(conditionCall(problem))) "" else deparse(conditionCall(problem)[[1]], nlines = 1)[1]
      own <- vapply(calls, function(call) deparse(call, nlines = 1)[1], "")
      own <- utils::tail(own[!grepl("fairway|tryCatch|withCallingHandlers|^h\\(|handleSimpleError", own)], 5)
      message("Error", if (nzchar(where)) " in ", where, ": ", conditionMessage(problem), if (length(own)) "\n  called by ", paste(own, collapse = "\n  called by "))
      paste0("{\"error\":", .fairway$quote(conditionMessage(problem)), ",\"where\":", .fairway$quote(where), "}")
    }
  )
}

.fairway$serve <- function(script, given, taken) {
  input <- fifo(given, open = "rb", blocking = TRUE)
  .fairway$out <- fifo(taken, open = "wb", blocking = TRUE)
  ready <- .fairway$guarded(function() {
    source(script, local = globalenv(), keep.source = TRUE, encoding = "UTF-8")
    made <- if (exists("init", globalenv(), mode = "function")) get("init", globalenv())() else NULL
    found <- if (exists("run", globalenv(), mode = "function")) get("run", globalenv()) else if (is.function(made)) made else NULL
    if (is.null(found)) stop("the script defines no function run(data), and init() returns none")
    .fairway$run <- found
    first <- names(formals(args(found)))[1]
    if (is.null(first) || is.na(first)) stop("run() takes no argument; run <- function(data) gets the rows of a request")
    text <- first %in% c("raw_data", "json", "body") || !exists("run", globalenv(), mode = "function")
    batch <- isTRUE(get0("fairway_batch", globalenv()))
    sprintf("{\"text\":%s,\"batch\":%s}", tolower(text), tolower(batch))
  })
  .fairway$say(ready)
  repeat {
    line <- readLines(input, n = 1, encoding = "UTF-8")
    if (length(line) == 0) break
    .fairway$say(.fairway$guarded(function() {
      given <- eval(parse(text = line, keep.source = FALSE, encoding = "UTF-8"), baseenv())
      run <- .fairway$run  # what errors call it
      paste0("{\"value\":", .fairway$json(run(given)), "}")
    }))
  }
}

.fairway$words <- commandArgs(trailingOnly = TRUE)
.fairway$serve(.fairway$words[1], .fairway$words[2], .fairway$words[3])
