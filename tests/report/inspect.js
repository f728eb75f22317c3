// Run in a page by browser.py: everything that can be seen without moving, as a list of complaints.
() => {
  const found = [], say = (text) => found.push(text);
  const shown = (e) => e.checkVisibility ? e.checkVisibility({visibilityProperty: true}) : e.getClientRects().length > 0;
  const describe = (e) => `<${e.tagName.toLowerCase()}${e.id ? '#' + e.id : ''}> "${(e.textContent || '').trim().slice(0, 40)}"`;
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    const wide = [...document.body.querySelectorAll('*')].filter(e => !e.closest('.scroll')
      && e.getBoundingClientRect().right > root.clientWidth + 0.5).slice(0, 3).map(describe);
    say(`the page is ${root.scrollWidth} wide in a window of ${root.clientWidth}: ${wide.join(', ')}`);
  }
  if (!root.lang) say('no language');
  if (!document.title.trim()) say('no title');
  if (!document.querySelector('meta[name=viewport]')) say('no viewport');
  for (const mark of ['header', 'main', 'h1'])
    if (document.querySelectorAll(`body > ${mark}, body > * > ${mark}`).length !== 1) say(`not exactly one ${mark}`);
  let level = 0;
  for (const h of document.querySelectorAll('h1, h2, h3, h4, h5, h6')) {
    const own = Number(h.tagName[1]);
    if (own > level + 1) say(`${describe(h)} follows a heading of level ${level}`);
    if (!h.textContent.trim()) say('an empty heading');
    level = own;
  }
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
  for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) say(`id ${id} stands twice`);
  for (const e of document.querySelectorAll('[aria-labelledby], [aria-describedby], [headers]'))
    for (const name of ['aria-labelledby', 'aria-describedby', 'headers'])
      for (const id of (e.getAttribute(name) || '').split(/\s+/).filter(Boolean))
        if (!document.getElementById(id)) say(`${describe(e)} refers to ${id}, which is not there`);
  for (const a of document.querySelectorAll('a[href^="#"]'))
    if (!document.getElementById(a.getAttribute('href').slice(1))) say(`link ${a.getAttribute('href')} leads nowhere`);
  for (const t of document.querySelectorAll('table')) {
    if (!t.caption || !t.caption.textContent.trim()) say(`a table without caption: ${describe(t)}`);
    if (!t.querySelector('th[scope=col], th[scope=colgroup]')) say(`no column has a heading: ${describe(t)}`);
    for (const th of t.querySelectorAll('th')) if (!th.scope) say(`th without scope: ${describe(th)}`);
    const region = t.closest('.scroll');
    if (!region) say(`a table that cannot scroll by itself: ${describe(t)}`);
  }
  for (const e of document.querySelectorAll('.scroll'))
    if (e.tabIndex !== 0 || e.getAttribute('role') !== 'region'
        || !(e.getAttribute('aria-labelledby') || e.getAttribute('aria-label'))) say(`${describe(e)} scrolls without role, name or focus`);
  for (const e of document.body.querySelectorAll('*')) {
    const style = getComputedStyle(e);
    if (['auto', 'scroll'].includes(style.overflowX) && e.scrollWidth > e.clientWidth + 1 && e.tabIndex < 0) say(`${describe(e)} scrolls but takes no focus`);
  }
  for (const img of document.images) {
    if (!img.complete || !img.naturalWidth) say('a picture did not load');
    if (!img.alt.trim()) say('a picture without alt');
  }
  for (const svg of document.querySelectorAll('svg:not([aria-hidden=true])')) {
    if (!svg.querySelector('title')?.textContent.trim()) say('a chart without title');
    if (!svg.querySelector('desc')?.textContent.trim()) say('a chart without description');
    if (svg.getAttribute('role') !== 'img') say('a chart that is no image to screen readers');
    const box = svg.getBoundingClientRect();
    for (const text of svg.querySelectorAll('text')) {
      const own = text.getBoundingClientRect();
      if (own.width && (own.left < box.left - 3 || own.right > box.right + 3)) say(`a chart's text sticks out: "${text.textContent}"`);
      if (own.height && own.height < 9) say(`a chart's text is ${own.height.toFixed(1)} px high: "${text.textContent}"`);
    }
  }
  if (document.querySelector('script')) say('there is a script');

  // Contrast, from computed colours (WCAG 2: 4.5 for text, 3 for large text and for marks in charts).
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = '#000'; canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map(v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((m, n) => n - m); return (x + 0.05) / (y + 0.05); };
  const ground = (e) => {
    const layers = [];
    for (let at = e; at; at = at.parentElement) { const c = rgba(getComputedStyle(at).backgroundColor); layers.push(c); if (c[3] === 1) break; }
    return layers.reverse().reduce((below, top) => over(top, below), rgba(getComputedStyle(document.body).backgroundColor));
  };
  const worst = {};
  const complain = (e, ratio, needed) => {
    if (ratio < needed && !(worst[e.className + ''] <= ratio)) { worst[e.className + ''] = ratio; say(`contrast ${ratio.toFixed(2)} < ${needed}: ${describe(e)}`); }
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !shown(e) || ['TITLE', 'DESC', 'STYLE'].includes(e.tagName.toUpperCase())) continue;
    const style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const colour = rgba(e instanceof SVGElement ? style.fill : style.color), below = ground(e);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    complain(e, contrast(over(colour, below), below), large ? 3 : 4.5);
  }
  for (const e of document.querySelectorAll('svg .mark, svg .line')) {
    const below = ground(e);
    complain(e, contrast(over(rgba(getComputedStyle(e).stroke === 'none' ? getComputedStyle(e).fill : getComputedStyle(e).stroke), below), below), 3);
  }
  return [...new Set(found)];
}
