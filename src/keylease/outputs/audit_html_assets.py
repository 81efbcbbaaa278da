"""The style and the script of the audit's page. None of it is others' text; the page allows it by hash.

Colours: text has at least 4.5:1 on its ground in both schemes, what is drawn 3:1 (WCAG 2.2, 1.4.3 and 1.4.11).
"""

STYLE = """
:root{color-scheme:light dark;--ground:#fff;--panel:#f5f7fa;--text:#1b2129;--soft:#4c5763;--line:#c9d1da;--link:#0a53be;
--mark:#2f6fb3;--over:#b3261e;--critical:#8c1222;--high:#b3261e;--medium:#8a5300;--low:#0a53be;--info:#4c5763}
@media (prefers-color-scheme:dark){:root{--ground:#12161c;--panel:#1b2129;--text:#e8ecf1;--soft:#a9b4c0;--line:#3a4552;
--link:#8ab8ff;--mark:#6ea8e6;--over:#ff8a80;--critical:#ff9aa8;--high:#ff8a80;--medium:#f5b85c;--low:#8ab8ff;
--info:#a9b4c0}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:84rem;margin:0 auto;padding:1rem}
h1{font-size:1.7rem;margin:.4rem 0}
h2{font-size:1.25rem;margin:2.2rem 0 .6rem}
h3{font-size:1rem;margin:1.2rem 0 .3rem}
p,ul{margin:.4rem 0}
a{color:var(--link)}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.soft{color:var(--soft)}
.wrap,td,th,summary,li,p,h3{overflow-wrap:anywhere}
.loud{border-left:4px solid var(--over);padding:.4rem .8rem;background:var(--panel);font-weight:600}
.tiles{display:flex;flex-wrap:wrap;gap:.6rem;list-style:none;padding:0;margin:.8rem 0}
.tiles li{background:var(--panel);border:1px solid var(--line);border-top:4px solid;border-radius:6px;
padding:.3rem .9rem;min-width:6.2rem}
.tiles b{display:block;font-size:1.5rem;line-height:1.3;color:var(--text)}
.critical{color:var(--critical)}.high{color:var(--high)}.medium{color:var(--medium)}
.low{color:var(--low)}.info{color:var(--info)}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem}
form{display:none;flex-wrap:wrap;gap:.6rem 1rem;align-items:end;background:var(--panel);border:1px solid var(--line);
border-radius:6px;padding:.7rem .9rem}
.js form{display:flex}
label{display:grid;gap:.1rem;font-size:.85rem;color:var(--soft);min-width:0}
label.grow{flex:1 1 14rem}
input,select,button{font:inherit;color:var(--text);background:var(--ground);border:1px solid var(--soft);
border-radius:4px;padding:.3rem .5rem;min-height:2.2rem;max-width:100%}
label select,label input{width:100%}
input::placeholder{color:var(--soft);opacity:1}
button{cursor:pointer}
table{border-collapse:collapse;width:100%;margin:.6rem 0}
caption{text-align:left;color:var(--soft);padding:.2rem 0}
th,td{text-align:left;vertical-align:top;padding:.45rem .6rem;border-bottom:1px solid var(--line)}
thead th{background:var(--panel)}
.findings thead th{white-space:nowrap}
th button{border:0;background:none;padding:0;font-weight:700;min-height:1.6rem}
th[aria-sort=ascending] button:after{content:" \\25B2"}
th[aria-sort=descending] button:after{content:" \\25BC"}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}
.findings{table-layout:fixed}
.findings th:nth-child(1){width:7rem}.findings th:nth-child(2){width:15rem}
.findings th:nth-child(3){width:18rem}.findings th:nth-child(5){width:7rem}
.findings b{font-weight:700}
.js tr.far{display:none}
summary{cursor:pointer;padding:.1rem 0}
dl{display:grid;grid-template-columns:minmax(5rem,max-content) 1fr;gap:.1rem .8rem;margin:.5rem 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
pre{background:var(--panel);border:1px solid var(--line);border-radius:4px;padding:.6rem;margin:.4rem 0;
white-space:pre-wrap;overflow-wrap:anywhere;font:.87rem/1.45 ui-monospace,Menlo,Consolas,monospace}
.rule{border-left:3px solid var(--line);padding-left:.8rem;margin:.6rem 0}
.copy{display:none;font-size:.85rem}.js .copy{display:inline-block}
figure{margin:.6rem 0 1.4rem;min-width:0}
figcaption{font-weight:600}
svg{display:block;width:100%;max-width:60rem;height:auto;font:13px system-ui,sans-serif}
svg text{fill:var(--text)}svg .soft{fill:var(--soft)}
.bar{fill:var(--mark)}.over{fill:var(--over)}.track{fill:var(--panel)}
.limit{stroke:var(--text);stroke-width:1.5;stroke-dasharray:5 4}.axis{stroke:var(--line)}
.scroll{overflow-x:auto}
.scroll th,.scroll td{overflow-wrap:break-word}
#more{display:none}.js #more:not([hidden]){display:inline-block}
[hidden]{display:none}
@media (max-width:52rem){
.findings thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
.js .findings thead{position:static;clip-path:none;width:auto;height:auto;display:block}
.findings thead tr{display:flex;flex-wrap:wrap;gap:.3rem 1rem}
.findings thead th{width:auto!important;border:0;background:none;padding:.2rem 0}
.findings,.findings tbody,.findings tbody tr,.findings td{display:block}
.js .findings tr.far{display:none}
.findings tbody tr{border-bottom:1px solid var(--line);padding:.5rem 0}
.findings td{border:0;padding:.1rem 0}
.findings td:nth-child(5){color:var(--soft)}
svg{min-width:50rem}
}
@media print{
:root{color-scheme:light;--ground:#fff;--panel:#fff;--text:#000;--soft:#333;--link:#000}
main{max-width:none;padding:0}form,.js form,.js .copy,nav,.js #more{display:none}
tr,figure,pre{break-inside:avoid}th button{pointer-events:none}
body{font-size:11px}
}
"""

SCRIPT = """
'use strict';
document.documentElement.classList.add('js');
document.addEventListener('DOMContentLoaded',function(){
 var step=500,limit=step,body=document.querySelector('.findings tbody');
 if(body){
 var rows=Array.prototype.slice.call(body.rows),shown=rows,form=document.getElementById('filter');
 var more=document.getElementById('more'),told=document.getElementById('told'),texts=new Map();
 var sorted={column:-1,down:false};
 var text=function(row){
  if(!texts.has(row))texts.set(row,row.textContent.toLowerCase());
  return texts.get(row);
 };
 var draw=function(){
  var part=document.createDocumentFragment();
  shown.slice(0,limit).forEach(function(row){row.classList.remove('far');part.appendChild(row);});
  body.replaceChildren(part);
  more.hidden=shown.length<=limit;
  more.textContent='Show more ('+Math.max(0,shown.length-limit)+' left)';
  told.textContent=shown.length+' of '+rows.length+' findings'+(shown.length>limit?', the first '+limit+' shown':'');
 };
 var filter=function(){
  var words=form.elements.search.value.toLowerCase().split(/\\s+/).filter(Boolean);
  var severity=form.elements.severity.value,status=form.elements.status.value,rule=form.elements.rule.value;
  limit=step;
  shown=rows.filter(function(row){
   return(severity===''||+row.dataset.s>=+severity)&&(status===''||row.dataset.t===status)&&
    (rule===''||row.dataset.r===rule)&&words.every(function(word){return text(row).indexOf(word)>=0;});
  });
  draw();
 };
 var wait;
 form.elements.search.addEventListener('input',function(){clearTimeout(wait);wait=setTimeout(filter,120);});
 form.addEventListener('change',filter);
 form.addEventListener('reset',function(){setTimeout(filter,0);});
 form.addEventListener('submit',function(event){event.preventDefault();filter();});
 more.addEventListener('click',function(){
  var next=shown[limit];limit+=step;draw();
  if(next){var to=next.querySelector('summary');if(to)to.focus();}
 });
 var heads=Array.prototype.slice.call(document.querySelectorAll('.findings thead th'));
 heads.forEach(function(head,column){
  var button=document.createElement('button');
  button.type='button';button.textContent=head.textContent;head.replaceChildren(button);
  button.addEventListener('click',function(){
   sorted.down=sorted.column===column?!sorted.down:column===0;sorted.column=column;
   heads.forEach(function(other){other.removeAttribute('aria-sort');});
   head.setAttribute('aria-sort',sorted.down?'descending':'ascending');
   var keys=new Map(),sign=sorted.down?-1:1;
   rows.forEach(function(row,at){
    var cell=row.cells[column],told=cell.querySelector('summary')||cell;
    keys.set(row,column===0?+row.dataset.s:told.textContent.toLowerCase());
    row.at=at;
   });
   rows.sort(function(a,b){
    var x=keys.get(a),y=keys.get(b);
    return x<y?-sign:x>y?sign:a.at-b.at;
   });
   filter();
  });
 });
 body.addEventListener('toggle',function(event){
  var row=event.target.closest('tr'),to=event.target.querySelector('.rule');
  if(!event.target.open||!row||!to||to.dataset.done)return;
  var from=document.getElementById('rule-'+row.dataset.r);
  if(from){to.dataset.done='1';from.querySelectorAll('.told').forEach(function(each){
   to.appendChild(each.cloneNode(true));});}
 },true);
 draw();
 }
 document.addEventListener('click',function(event){
  var button=event.target.closest('.copy');
  if(!button)return;
  var block=button.parentNode.querySelector('pre'),say=button.nextElementSibling;
  var select=function(){
   var range=document.createRange();range.selectNodeContents(block);
   var choice=getSelection();choice.removeAllRanges();choice.addRange(range);
   var done=false;
   try{done=document.execCommand('copy');}catch(error){}
   say.textContent=done?'Copied':'Selected: press Ctrl+C or Cmd+C';
  };
  if(navigator.clipboard&&navigator.clipboard.writeText){
   navigator.clipboard.writeText(block.textContent).then(function(){say.textContent='Copied';},select);
  }else select();
 });
 var closed=[];
 addEventListener('beforeprint',function(){
  closed=Array.prototype.slice.call(document.querySelectorAll('details:not([open])'));
  closed.forEach(function(each){each.open=true;});
 });
 addEventListener('afterprint',function(){closed.forEach(function(each){each.open=false;});closed=[];});
 var follow=function(){
  var to=location.hash&&document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if(to&&to.tagName==='DETAILS')to.open=true;
 };
 addEventListener('hashchange',follow);follow();
});
"""
