create table stars(name text primary key, ly real);
insert into stars values ('Proxima Centauri', 4.25), ('Sirius', 8.6), ('Vega', 25.0);
begin;
insert into stars values ('Sol', 0);
delete from stars where name = 'Vega';
rollback;
begin;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)
insert into stars select 'HD ' || i, i / 7.0 from n;
commit;
select count(*), round(sum(ly), 3) from stars;
select name from stars order by ly limit 3;
insert into stars values ('Sirius', 1);
