/* Ranking of search results: tasks and explanations before reference and records. */
const SHIFT = [
  [/^(how_to|getting_started|guide)\//, 30],
  [/\/index$/, -10],
  [/^(troubleshooting|migration\/|auto_examples\/)/, 10],
  [/^(changelog|experiments\/|benchmarks|contributing|release)/, -15],
  [/^glossary/, -95], // its terms match queries exactly
];

const QUERY = (new URLSearchParams(window.location.search).get("q") || "")
  .toLowerCase()
  .trim();

/* Pages that are named after the query come first. */
function named(title) {
  if (!QUERY) return 0;
  const name = title.toLowerCase();
  if (name === QUERY) return 40;
  const words = QUERY.split(/\s+/).map((word) => word.replace(/(ing|s)$/, ""));
  return words.every((word) => name.includes(word)) ? 20 : 0;
}

var Scorer = {
  score: ([page, title, , , score]) =>
    score +
    SHIFT.reduce((sum, [pages, shift]) => sum + (pages.test(page) ? shift : 0), 0) +
    named(title),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
