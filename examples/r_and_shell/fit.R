# Rscript fit.R POINTS LINE SUMMARY: fits y = intercept + slope * x to the two columns of POINTS.
paths <- commandArgs(trailingOnly = TRUE)
points <- read.csv(paths[1], header = FALSE, col.names = c("x", "y"))
if (nrow(points) < 3) quit(status = 3)

line <- lm(y ~ x, data = points)
found <- data.frame(name = c("intercept", "slope"), value = unname(coef(line)))
write.table(found, paths[2], sep = ",", row.names = FALSE, col.names = FALSE, quote = FALSE)
writeLines(capture.output(summary(line)), paths[3])
cat("slope", round(coef(line)[["x"]], 3), "from", nrow(points), "points\n")
