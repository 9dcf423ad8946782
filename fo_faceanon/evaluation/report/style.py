"""The page's style sheet: system fonts, light and dark, phones, paper."""

CSS = """
:root{--paper:#fbfbf9;--card:#fff;--ink:#1c1c1a;--soft:#62615b;--line:#dedcd5;--grid:#e7e5df;--accent:#1f5fbf;--fill:#3d7edb;
  --strangers:#c2571a;--floor:#cfcdc5;--warn:#8a5200;--alarm:#a51d1d;--alarmpaper:#fdecea;--kept:#3d7edb;--changed:#d98a4e;
  color-scheme:light dark}
@media(prefers-color-scheme:dark){
  :root{--paper:#141413;--card:#1d1d1b;--ink:#eceae4;--soft:#a3a19a;--line:#3a3935;--grid:#302f2c;--accent:#7fb0f5;
    --fill:#5b95e6;--strangers:#f09a5c;--floor:#4b4a45;--warn:#f0b860;--alarm:#ff9b92;--alarmpaper:#3a1512;--kept:#4d86d6;
    --changed:#b8682c}
}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--paper);color:var(--ink);
  font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main,header,footer{max-width:1080px;margin:0 auto;padding:0 24px}
header{padding-top:40px}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:1.3rem;margin:56px 0 12px;padding-top:12px;border-top:1px solid var(--line)}
h3{font-size:1.05rem;margin:32px 0 6px}
h4{margin:20px 0 4px}
p{margin:0 0 12px;max-width:74ch}
a{color:var(--accent)}
small{display:block;font-size:.8rem;color:var(--soft);font-weight:400}
.soft{color:var(--soft)}
.warn{color:var(--warn);font-weight:600}
.meta{color:var(--soft);font-size:.92rem;overflow-wrap:anywhere;max-width:none}
.alarm{background:var(--alarmpaper);color:var(--alarm);border:2px solid var(--alarm);border-radius:8px;padding:12px 16px;
  max-width:none;margin:16px 0}
.caveat{border-left:4px solid var(--line);padding:2px 0 2px 14px;color:var(--soft)}
nav ul{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;padding:0;margin:20px 0 0;font-size:.92rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(160px,1fr));gap:12px;margin:24px 0 0;padding:0;
  list-style:none}
.tiles li{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
.tiles strong{display:block;font-size:1.65rem;line-height:1.2;font-weight:600;letter-spacing:-.01em;margin:2px 0}
.said{display:grid;grid-template-columns:max-content 1fr;gap:8px 20px;margin:0 0 16px}
.said dt{font-weight:600}
.said dd{margin:0;max-width:74ch}
.panel,.pair{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px 8px;
  break-inside:avoid}
figcaption strong,figcaption span{display:block}
figcaption span{font-size:.8rem;line-height:1.35;margin-bottom:6px}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(300px,100%),1fr));gap:14px;align-items:start}
.two{display:grid;grid-template-columns:minmax(0,440px) minmax(0,1fr);gap:24px;align-items:center}
.chart{display:block;width:100%;height:auto;font-size:12px;fill:var(--ink)}
.chart text{paint-order:stroke;stroke:var(--card);stroke-width:3px;stroke-linejoin:round}
.chart .tick{fill:var(--soft);font-size:11px}
.chart .label{font-size:12px}
.chart .value{fill:var(--soft);font-size:12px;font-variant-numeric:tabular-nums}
.radar-chart .label{font-size:13px;font-weight:600}
.radar-chart .value{font-size:13px}
.chart .grid{display:inline;fill:none;stroke:var(--grid);stroke-width:1}
.chart .absent{stroke-dasharray:3 4}
.chart .axis{stroke:var(--soft);stroke-width:1}
.chart .mean{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 3}
.chart .radar{fill:var(--fill);fill-opacity:.22;stroke:var(--fill);stroke-width:2;stroke-linejoin:round}
.chart .dot{fill:var(--fill)}
.chart .whisker{stroke:var(--fill);stroke-width:2;stroke-opacity:.55;stroke-linecap:round}
.chart .anonymized{fill:var(--fill);fill-opacity:.82}
.chart .floor{fill:var(--floor)}
.chart .impostors{fill:none;stroke:var(--strangers);stroke-width:1.8}
.chart .limit{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:5 3}
.grid+details{margin-top:14px}
.legend{display:flex;flex-wrap:wrap;gap:6px 20px;font-size:.88rem;max-width:none}
.legend span{display:inline-flex;align-items:center;gap:8px}
.key{display:inline-block;width:16px;height:12px;border-radius:2px}
.key.anonymized{background:var(--fill)}
.key.floor{background:var(--floor)}
.key.impostors{height:0;border-top:2.5px solid var(--strangers)}
.key.limit{height:0;border-top:2px dashed var(--ink)}
table{border-collapse:collapse;width:100%;font-size:.92rem}
caption{text-align:left;color:var(--soft);font-size:.85rem;padding:0 0 6px}
caption.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
th,td{text-align:left;padding:8px 10px;vertical-align:top;border-bottom:1px solid var(--line);overflow-wrap:break-word}
thead th{font-size:.8rem;color:var(--soft);font-weight:600;vertical-align:bottom;border-bottom:1.5px solid var(--soft)}
tbody th{font-weight:600}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.figures tbody th{width:42%;font-weight:400}
.figures .name{font-weight:600}
.withheld{color:var(--soft)}
.withheld em{color:var(--warn);font-style:normal;font-weight:600}
.scroll{overflow-x:auto}
.scroll tbody th,.scroll thead th:first-child{position:sticky;left:0;background:var(--paper)}
.confusion{width:auto;margin-bottom:14px}
.confusion td{min-width:62px;border:2px solid var(--paper);border-radius:4px}
.confusion .kept{background:color-mix(in srgb,var(--kept) calc(var(--share)*.75),transparent)}
.confusion .changed{background:color-mix(in srgb,var(--changed) calc(var(--share)*.9),transparent)}
.confusion td small{color:inherit;opacity:.75}
details{margin:10px 0}
summary{cursor:pointer;color:var(--accent);padding:4px 0}
td details{margin:0}
td summary{padding:0}
td ul{margin:6px 0;padding-left:18px;overflow-wrap:anywhere}
dl{margin:0}
dl dt{font-weight:600;margin-top:8px}
dl dd{margin:0 0 4px;max-width:74ch}
.said dt,.said dd{margin-top:0}
.pairs{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(280px,100%),1fr));gap:12px;margin:10px 0}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:6px}
.pair figcaption{grid-column:1/-1;font-size:.85rem;overflow-wrap:anywhere}
.shot img{width:100%;height:auto;display:block;border-radius:4px}
.verdict{font-size:1.15rem;border:1px solid var(--line);border-left:6px solid var(--soft);background:var(--card);
  border-radius:8px;padding:12px 16px;max-width:none}
.verdict.exposed{border-left-color:var(--alarm)}
.verdict.borderline{border-left-color:var(--warn)}
.verdict.clear{border-left-color:var(--fill)}
footer{color:var(--soft);font-size:.85rem;padding-top:32px;padding-bottom:48px}
@media(max-width:720px){
  main,header,footer{padding-left:16px;padding-right:16px}
  header{padding-top:24px}
  h1{font-size:1.5rem}
  h2{margin-top:40px}
  .two{grid-template-columns:minmax(0,1fr)}
  .said{grid-template-columns:1fr;gap:2px}
  .said dd{margin-bottom:10px}
  .tiles{grid-template-columns:1fr 1fr}
  .tiles strong{font-size:1.35rem}
  .figures,.figures tbody{display:block}
  .figures thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
  .figures tr{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:6px 10px;border-bottom:1px solid var(--line);
    padding:12px 0}
  .figures th,.figures td{border:0;padding:0;width:auto!important;white-space:normal;text-align:left}
  .figures th,.figures td.withheld{grid-column:1/-1}
  .figures td[data-label]::before{content:attr(data-label);display:block;font-size:.75rem;color:var(--soft)}
}
@media print{
  :root{--paper:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#bbb;--grid:#ddd;--accent:#000;--fill:#3d7edb;
    --strangers:#c2571a;--floor:#cfcdc5;--warn:#8a5200;--alarm:#a51d1d;--alarmpaper:#fff;--kept:#3d7edb;--changed:#d98a4e;
    color-scheme:light}
  body{font-size:10.5pt}
  main,header,footer{max-width:none;padding:0}
  nav{display:none}
  h2{break-after:avoid}
  h3{break-after:avoid}
  tr,.panel,.pair,.tiles li{break-inside:avoid}
  a{text-decoration:none}
  .grid{grid-template-columns:repeat(2,1fr)}
  *{print-color-adjust:exact;-webkit-print-color-adjust:exact}
  details::details-content{content-visibility:visible;display:block}
}
"""
